"""Endless camera streams through the network: a frame in, a mask for each part out, at a cost that never grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..model import RobotSeg, preprocess
from ..model.preprocessing import check_frame, resize_to_square
from .groups import Asked, Group, StageTimer, Tracked, merged, track
from .memory_bank import MemoryBank
from .prompts import FramePrompt, frame_prompt


@dataclass
class Segmentation:
    """What one frame gave, by part.

    masks: bool (H, W) at the frame's size, all False where the part is absent. low_res_logits: float32 (S/4, S/4) of the
    network's square, before a refiner has been over their boundary. object_score: a logit, the part is present when it
    is > 0. predicted_iou: in [0, 1]. timings: milliseconds by stage, of the whole call where frames of several streams
    went through the network together.
    """

    masks: dict[str, NDArray[np.bool_]]
    low_res_logits: dict[str, NDArray[np.float32]]
    object_score: dict[str, float]
    predicted_iou: dict[str, float]
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Frame:
    """A frame as it is kept for prompts that name it: its number in the stream, its pixels at the network's size, its own
    (height, width)."""

    stamp: int
    number: int
    square: NDArray[np.uint8]
    shape: tuple[int, int]


@dataclass(frozen=True)
class _Waiting:
    """A prompt for the coming frame, or for one that has been."""

    prompt: FramePrompt
    past: _Frame | None = None


class StreamSegmenter:
    """Segments a stream frame by frame (the published predictor's protocol, without its end).

    The first frame of a part is its conditioning frame; later frames attend to it and to the last few. A prompt starts
    its part anew on the coming frame, or on an earlier one that is still kept.
    """

    def __init__(
        self,
        network: RobotSeg,
        parts: Sequence[str] = ("arm", "gripper"),
        max_pointers: int | None = None,
        mask_threshold: float = 0.0,
        fill_hole_area: int = 0,
        history: int = 0,
    ):
        """parts: of `network.config.parts`. max_pointers: object pointers attended to (None: the model's own number, 16
        for the published one). mask_threshold: a pixel is on the part when its logit exceeds it. fill_hole_area: holes of up
        to so many low-res pixels are filled (8 in the published predictor, `network.config.fill_hole_area`). history: frames
        kept, at the network's size, for prompts that name one by its stamp."""
        self.network = network
        self.max_pointers = max_pointers or network.config.max_pointers
        self.mask_threshold = mask_threshold
        self.fill_hole_area = fill_hole_area
        self._known = network.config.parts
        self._groups: list[Group] = []
        self._prompts: dict[str, _Waiting] = {}
        self._past: deque[_Frame] = deque(maxlen=history)
        self._number = 0  # of the coming frame
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
        self._groups = self._kept(self._parts)

    @property
    def memory_bytes(self) -> int:
        """Bytes that all memories of the stream hold; constant once the stream runs."""
        return sum(group.bank.nbytes for group in self._groups)

    def reset(self) -> None:
        """Forget the stream: the next frame is a conditioning frame for every part. Waiting prompts are dropped."""
        self._groups = []
        self._prompts = {}
        self._past.clear()
        self._number = 0

    def prompt(
        self,
        part: str,
        points: Sequence[Sequence[float]] | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
        stamp: int = 0,
    ) -> None:
        """Say where a part is in the coming frame; its memory starts anew there.

        points: (x, y) in pixels, labels: 1 on the part, 0 off it (all 1 when left out); box: (x0, y0, x1, y1); mask: bool
        (H, W), taken as it is. stamp: the frame meant, as given to `step`; where it is still kept, the memory starts anew at
        that frame, and the coming one is the first to show it; else the prompt is for the coming frame. Raises ValueError
        for an unknown part, a malformed prompt, or one that does not fit the kept frame.
        """
        if part not in self._parts:
            raise ValueError(f"this stream has the parts {', '.join(self._parts)}; got a prompt for {part!r}")
        given = frame_prompt(points, labels, box, mask)
        past = self._past_frame(stamp)
        if past is not None:
            given.check_fits(*past.shape)
        self._prompts[part] = _Waiting(given, past)

    def keeps(self, stamp: int) -> bool:
        """Whether the frame of that stamp is still kept for prompts."""
        return self._past_frame(stamp) is not None

    def admit(self, rgb: NDArray[np.uint8]) -> None:
        """Raise ValueError unless `rgb` can be the coming frame. Prompts that do not fit it are dropped, and named."""
        check_frame(rgb)
        problems = []
        for part, waiting in list(self._prompts.items()):
            try:
                if waiting.past is None:
                    waiting.prompt.check_fits(*rgb.shape[:2])
            except ValueError as error:
                problems.append(f"{part}: {error}")
                del self._prompts[part]
        if problems:
            raise ValueError("; ".join(problems))

    def step(self, rgb: NDArray[np.uint8], stamp: int = 0) -> Segmentation:
        """Segment the next frame, uint8 (H, W, 3) RGB. Raises ValueError for anything else; the stream is then unchanged,
        but prompts that do not fit the frame are dropped. stamp: a name for the frame, for later prompts; 0 is none."""
        return step_together([self], [rgb], [stamp])[0]

    # -- of a step ---------------------------------------------------------------------------------------------------

    def _kept(self, parts: Sequence[str]) -> list[Group]:
        """The groups without all other parts."""
        kept = []
        for group in self._groups:
            rows = [i for i, part in enumerate(group.parts) if part in parts]
            if len(rows) == len(group.parts):
                kept.append(group)
            elif rows:
                kept.append(Group(tuple(group.parts[i] for i in rows), group.bank.select(rows)))
        return kept

    def _past_frame(self, stamp: int) -> _Frame | None:
        return next((frame for frame in self._past if stamp and frame.stamp == stamp), None)

    def _taken(self, rgb: NDArray[np.uint8], stamp: int) -> _Frame:
        return _Frame(stamp, self._number, resize_to_square(rgb, self.network.config), (rgb.shape[0], rgb.shape[1]))

    def _coming(self, image: int, shape: tuple[int, int], timer: StageTimer) -> list[Asked]:
        """What to ask of the coming frame, which is row `image` of the features; the stream is not changed."""
        now = {part: waiting.prompt for part, waiting in self._prompts.items() if waiting.past is None}
        groups = self._kept([part for part in self._parts if part not in self._prompts])
        groups += [
            self._recalled(p, waiting, timer) for p, waiting in self._prompts.items() if waiting.past is not None
        ]
        held = {part for group in groups for part in group.parts}
        fresh = tuple(part for part in self._parts if part not in held and part not in now)
        groups += [self._new_group(fresh)] if fresh else []
        asked = [Asked(image, group, None, self.fill_hole_area) for group in groups]
        for part in self._parts:
            if part in now:
                given = now[part].to_network(*shape, self.network.config.image_size, self.network.position.device)
                asked.append(Asked(image, self._new_group((part,)), given, self.fill_hole_area))
        return asked

    def _recalled(self, part: str, waiting: _Waiting, timer: StageTimer) -> Group:
        """The part as it would be remembered had the prompt come with the frame that it names."""
        past = waiting.past
        assert past is not None
        config, device = self.network.config, self.network.position.device
        with timer.stage("encode_image"):
            features = self.network.encode_image(preprocess(past.square, config, device))
        given = waiting.prompt.to_network(*past.shape, config.image_size, device)
        group = self._new_group((part,))
        (tracked,) = track(self.network, features, [Asked(0, group, given, self.fill_hole_area)], timer)
        group.bank.write(tracked.memory, self._number - past.number, tracked.prompted)
        return group

    def _new_group(self, parts: tuple[str, ...]) -> Group:
        return Group(parts, MemoryBank.for_model(self.network.config, self.max_pointers))

    def _advance(self, answers: Sequence[tuple[Group, Tracked]], frame: _Frame) -> None:
        """The frame has been: its prompts are used, and the next one attends to what is remembered of it."""
        for group, tracked in answers:
            group.bank.write(tracked.memory, prompted=tracked.prompted)
        self._groups = merged([group for group, _ in answers])
        self._prompts = {}
        self._past.append(frame)
        self._number += 1

    def _segmentation(self, answers: Sequence[tuple[Group, Tracked]], shape: tuple[int, int]) -> Segmentation:
        outputs = [tracked.output for _, tracked in answers]
        logits = torch.cat([output.low_res_logits for output in outputs])
        masks = self._full_size(torch.cat([output.finest_logits for output in outputs]), shape).cpu().numpy()
        low_res = logits[:, 0].cpu().numpy()
        scores = torch.cat([output.object_score[:, 0] for output in outputs]).tolist()
        ious = torch.cat([output.ious.gather(1, output.best[:, None])[:, 0] for output in outputs]).tolist()
        row = {part: i for i, part in enumerate(part for group, _ in answers for part in group.parts)}
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


def step_together(
    streams: Sequence[StreamSegmenter], frames: Sequence[NDArray[np.uint8]], stamps: Sequence[int]
) -> list[Segmentation]:
    """The next frame of each of several streams that share a network: the images are encoded in one call, and parts whose
    memories have the same layout are tracked in one call, whichever stream they are of.

    Raises ValueError as `StreamSegmenter.step` does; where anything raises, no stream has been changed but for prompts that
    do not fit, which are dropped.
    """
    network = streams[0].network
    if any(stream.network is not network for stream in streams):
        raise ValueError("streams that are stepped together must share one network")
    for stream, rgb in zip(streams, frames, strict=True):
        stream.admit(rgb)
    config, device = network.config, network.position.device
    timer = StageTimer(device)
    with torch.inference_mode():
        with timer.stage("preprocess"):
            taken = [stream._taken(rgb, stamp) for stream, rgb, stamp in zip(streams, frames, stamps, strict=True)]
            images = torch.cat([preprocess(frame.square, config, device) for frame in taken])
        with timer.stage("encode_image"):
            features = network.encode_image(images)
        asked = [stream._coming(i, taken[i].shape, timer) for i, stream in enumerate(streams)]
        tracked = iter(track(network, features, [one for of_stream in asked for one in of_stream], timer))
        answers = [[(one.group, next(tracked)) for one in of_stream] for of_stream in asked]
        with timer.stage("masks"):
            shown = zip(streams, answers, taken, strict=True)
            results = [stream._segmentation(mine, frame.shape) for stream, mine, frame in shown]
    for stream, mine, frame, result in zip(streams, answers, taken, results, strict=True):
        stream._advance(mine, frame)
        result.timings = dict(timer.milliseconds)
    return results
