"""One endless camera stream through the network: a frame in, a mask for each part out, at a cost that never grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..model import ImageFeatures, RobotSeg, StepOutput, preprocess
from ..model.preprocessing import check_frame
from .holes import fill_holes
from .memory_bank import MemoryBank
from .prompts import FramePrompt, frame_prompt


@dataclass
class Segmentation:
    """What one frame gave, by part.

    masks: bool (H, W) at the frame's size, all False where the part is absent. low_res_logits: float32 (S/4, S/4) of the
    network's square. object_score: a logit, the part is present when it is > 0. predicted_iou: in [0, 1]. timings:
    milliseconds by stage.
    """

    masks: dict[str, NDArray[np.bool_]]
    low_res_logits: dict[str, NDArray[np.float32]]
    object_score: dict[str, float]
    predicted_iou: dict[str, float]
    timings: dict[str, float] = field(default_factory=dict)


@dataclass
class _Group:
    """Parts whose memories have one layout, and so are one batch for the network."""

    parts: tuple[str, ...]
    bank: MemoryBank


class StreamSegmenter:
    """Segments a stream frame by frame (the published predictor's protocol, without its end).

    The first frame of a part is its conditioning frame; later frames attend to it and to the last few. A prompt starts
    its part anew on the coming frame.
    """

    def __init__(
        self,
        network: RobotSeg,
        parts: Sequence[str] = ("arm", "gripper"),
        max_pointers: int | None = None,
        mask_threshold: float = 0.0,
        fill_hole_area: int = 0,
    ):
        """parts: of `network.config.parts`. max_pointers: object pointers attended to (None: the model's own number, 16
        for the published one). mask_threshold: a pixel is on the part when its logit exceeds it. fill_hole_area: holes of up
        to so many low-res pixels are filled (8 in the published predictor, `network.config.fill_hole_area`)."""
        self.network = network
        self.max_pointers = max_pointers or network.config.max_pointers
        self.mask_threshold = mask_threshold
        self.fill_hole_area = fill_hole_area
        self._known = network.config.parts
        self._groups: list[_Group] = []
        self._prompts: dict[str, FramePrompt] = {}
        self._parts: tuple[str, ...] = ()
        self.parts = tuple(parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts segmented; set it to change them while streaming: those that stay keep their memory."""
        return self._parts

    @parts.setter
    def parts(self, parts: Sequence[str]) -> None:
        unknown = [part for part in parts if part not in self._known]
        if unknown or not parts or len(set(parts)) != len(parts):
            raise ValueError(f"parts must be one or more different ones of {', '.join(self._known)}; got {list(parts)}")
        self._parts = tuple(parts)
        self._prompts = {part: prompt for part, prompt in self._prompts.items() if part in self._parts}
        self._keep(self._parts)

    @property
    def memory_bytes(self) -> int:
        """Bytes that all memories of the stream hold; constant once the stream runs."""
        return sum(group.bank.nbytes for group in self._groups)

    def reset(self) -> None:
        """Forget the stream: the next frame is a conditioning frame for every part. Waiting prompts are dropped."""
        self._groups = []
        self._prompts = {}

    def prompt(
        self,
        part: str,
        points: Sequence[Sequence[float]] | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Say where a part is in the coming frame; its memory starts anew there.

        points: (x, y) in pixels, labels: 1 on the part, 0 off it (all 1 when left out); box: (x0, y0, x1, y1); mask: bool
        (H, W), taken as it is. Raises ValueError for an unknown part or a malformed prompt.
        """
        if part not in self._parts:
            raise ValueError(f"this stream has the parts {', '.join(self._parts)}; got a prompt for {part!r}")
        self._prompts[part] = frame_prompt(points, labels, box, mask)

    def step(self, rgb: NDArray[np.uint8]) -> Segmentation:
        """Segment the next frame, uint8 (H, W, 3) RGB. Raises ValueError for anything else; the stream is then unchanged,
        but prompts that do not fit the frame are dropped."""
        check_frame(rgb)
        prompts, self._prompts = self._prompts, {}
        for prompt in prompts.values():
            prompt.check_fits(*rgb.shape[:2])
        timer = _StageTimer(self._device)
        with torch.inference_mode():
            with timer.stage("preprocess"):
                images = preprocess(rgb, self.network.config, self._device)
            with timer.stage("encode_image"):
                features = self.network.encode_image(images)
            outputs = self._track(features, prompts, rgb.shape[:2], timer)
            with timer.stage("masks"):
                result = self._segmentation(outputs, rgb.shape[:2])
        result.timings = timer.milliseconds
        return result

    # -- groups of parts ---------------------------------------------------------------------------------------------

    @property
    def _device(self) -> torch.device:
        return self.network.position.device

    def _keep(self, parts: Sequence[str]) -> None:
        """Drop the memories of all other parts."""
        kept = []
        for group in self._groups:
            rows = [i for i, part in enumerate(group.parts) if part in parts]
            if len(rows) == len(group.parts):
                kept.append(group)
            elif rows:
                kept.append(_Group(tuple(group.parts[i] for i in rows), group.bank.select(rows)))
        self._groups = kept

    def _track(
        self, features: ImageFeatures, prompts: dict[str, FramePrompt], shape: tuple[int, int], timer: _StageTimer
    ) -> list[tuple[tuple[str, ...], StepOutput]]:
        """Run every group's parts through the network and write their memories."""
        self._keep([part for part in self._parts if part not in prompts])
        held = {part for group in self._groups for part in group.parts}
        fresh = tuple(part for part in self._parts if part not in held and part not in prompts)
        starting = ([fresh] if fresh else []) + [(part,) for part in self._parts if part in prompts]
        outputs = []
        for group in [*self._groups, *(self._new_group(parts) for parts in starting)]:
            prompt = prompts.get(group.parts[0])
            with timer.stage("track"):
                output = self._track_group(features, group, prompt, shape)
                shown = self._without_holes(output)
            with timer.stage("encode_memory"):
                # As published: a conditioning frame is remembered with its holes filled, a tracked one as decoded.
                remembered = shown if group.bank.empty else output
                group.bank.write(self.network.encode_memory(features, remembered, binarise=group.bank.empty))
            outputs.append((group, shown))
        self._groups = _merge([group for group, _ in outputs])
        return [(group.parts, output) for group, output in outputs]

    def _new_group(self, parts: tuple[str, ...]) -> _Group:
        return _Group(parts, MemoryBank.for_model(self.network.config, self.max_pointers))

    def _track_group(
        self, features: ImageFeatures, group: _Group, prompt: FramePrompt | None, shape: tuple[int, int]
    ) -> StepOutput:
        device = self._device
        classes = torch.tensor([self._known.index(part) for part in group.parts], device=device)
        if prompt is None:
            return self.network.track(features, None if group.bank.empty else group.bank.view(), classes)
        given = prompt.to_network(*shape, self.network.config.image_size, device)
        return self.network.track(features, None, None if given.mask is not None else classes, given)

    def _without_holes(self, output: StepOutput) -> StepOutput:
        if self.fill_hole_area == 0:
            return output
        return replace(output, low_res_logits=fill_holes(output.low_res_logits, self.fill_hole_area))

    # -- results -----------------------------------------------------------------------------------------------------

    def _segmentation(self, outputs: list[tuple[tuple[str, ...], StepOutput]], shape: tuple[int, int]) -> Segmentation:
        logits = torch.cat([output.low_res_logits for _, output in outputs])
        masks = self._full_size(logits, shape).cpu().numpy()
        low_res = logits[:, 0].cpu().numpy()
        scores = torch.cat([output.object_score[:, 0] for _, output in outputs]).tolist()
        ious = torch.cat([output.ious.gather(1, output.best[:, None])[:, 0] for _, output in outputs]).tolist()
        row = {part: i for i, part in enumerate(part for parts, _ in outputs for part in parts)}
        return Segmentation(
            masks={part: masks[row[part]] for part in self._parts},
            low_res_logits={part: low_res[row[part]] for part in self._parts},
            object_score={part: scores[row[part]] for part in self._parts},
            predicted_iou={part: ious[row[part]] for part in self._parts},
        )

    def _full_size(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """(B, 1, s, s) -> bool (B, H, W)."""
        full = F.interpolate(logits, size=shape, mode="bilinear", align_corners=False)
        return full[:, 0] > self.mask_threshold


def _merge(groups: list[_Group]) -> list[_Group]:
    """Join groups whose memories have come to the same layout, so that they are one batch from now on."""
    by_layout: dict[tuple[int, int], list[_Group]] = {}
    for group in groups:
        by_layout.setdefault(group.bank.layout, []).append(group)
    merged = []
    for same in by_layout.values():
        if len(same) == 1:
            merged.append(same[0])
        else:
            parts = tuple(part for group in same for part in group.parts)
            merged.append(_Group(parts, MemoryBank.join([group.bank for group in same])))
    return merged


class _StageTimer:
    """Milliseconds by stage; on a CUDA device it waits for the stage's work, so that the figures are its own."""

    def __init__(self, device: torch.device):
        self.milliseconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + (time.perf_counter() - start) * 1000.0
