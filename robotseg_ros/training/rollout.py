"""Runs the network over single frames and over clips with memory, as the streaming code does, keeping gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..model.config import PARTS, ModelConfig
from ..model.network import ImageFeatures, MemoryEntry, MemoryView, Prompt, RobotSeg, StepOutput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SURE = 10.0  # logit of a mask that is given, as SAM 2 writes mask prompts

Corrupt = Callable[[StepOutput], StepOutput]
Correct = Callable[[StepOutput, Prompt], Prompt]


def normalised(images: Tensor) -> Tensor:
    """uint8 (B, S, S, 3) -> ImageNet-normalised float (B, 3, S, S)."""
    scale = 1 / (255 * torch.tensor(STD, device=images.device))
    shift = -torch.tensor(MEAN, device=images.device) / torch.tensor(STD, device=images.device)
    return (images.float() * scale + shift).permute(0, 3, 1, 2)


def class_ids(clips: int, device: torch.device) -> Tensor:
    """Class of every row of a parts x clips batch, parts varying fastest: (clips * 3,)."""
    return torch.arange(len(PARTS), device=device).repeat(clips)


@dataclass
class Trail:
    """The memories of a batch of clips so far, and the view of them that the next frame attends to."""

    config: ModelConfig
    long_ago: Tensor  # (B,) how much older than it is the first frame is made to look
    entries: list[MemoryEntry] = field(default_factory=list)

    def view(self) -> MemoryView:
        """The first frame, the latest others by age, and their pointers."""
        time, pointers = len(self.entries), self.config.max_pointers
        recent = range(max(1, time - self.config.num_maskmem + 1), time)
        return MemoryView(
            conditioning=self.entries[0],
            conditioning_age=self.long_ago + time,
            recent=[(time - index, self.entries[index]) for index in recent],
            pointers=[(age, self.entries[time - age].pointer) for age in range(1, min(time, pointers))],
            max_pointers=pointers,
        )


def frames_of(features: ImageFeatures, frame: int, clips: int) -> ImageFeatures:
    """Features of one frame of all clips, from a frame-major encoding."""
    rows = slice(frame * clips, (frame + 1) * clips)
    return features.map(lambda tensor: tensor[rows])


def encode(network: RobotSeg, images: Tensor, bf16: bool, edges: bool = True) -> ImageFeatures:
    """Features, in float32, of uint8 images (B, S, S, 3); the encoder's convolutions in bfloat16 where asked for.

    edges: whether the edge maps will be used; only frames with memory do."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        features = network.encode_image(normalised(images), edges)
    return features.map(Tensor.float)


def first_frame(network: RobotSeg, features: ImageFeatures, prompt: Prompt | None) -> StepOutput:
    """Outputs (B = K * 3) of K single frames for all parts, from one encoding."""
    clips = features.tokens.shape[0]
    return network.track(features, None, class_ids(clips, features.tokens.device), prompt)


def stream(
    network: RobotSeg,
    encoded: ImageFeatures,
    order: Sequence[int],
    prompt: Prompt | None = None,
    corrupt: Corrupt | None = None,
    long_ago: Tensor | None = None,
    attempts: Sequence[StepOutput] = (),
) -> list[StepOutput]:
    """Outputs (B = K * 3) of each frame of `order`, tracked with memory from its first frame on.

    encoded: U distinct frames of K clips, frame-major (U * K). `attempts`: the first frame, where it has been tracked
    already (see `refined`); the last of them is taken. `corrupt` alters what frame 0 leaves in memory; `long_ago`
    (B,) frames are added to frame 0's age, as in a stream that has been running.
    """
    clips = encoded.tokens.shape[0] // (max(order) + 1)
    features = [frames_of(encoded, frame, clips) for frame in range(max(order) + 1)]
    ids = class_ids(clips, encoded.tokens.device)
    trail = Trail(network.config, ids.new_zeros(len(ids), dtype=torch.float32) if long_ago is None else long_ago)
    outputs: list[StepOutput] = []
    for time, index in enumerate(order):
        first = time == 0
        if first and attempts:
            output = attempts[-1]
        else:
            output = network.track(features[index], None if first else trail.view(), ids, prompt if first else None)
        outputs.append(output)
        if time + 1 < len(order):
            kept = corrupt(output) if first and corrupt else output
            trail.entries.append(network.encode_memory(features[index], kept, binarise=first))
    return outputs


def refined(
    network: RobotSeg, features: ImageFeatures, prompt: Prompt, correct: Correct, corrections: int
) -> list[StepOutput]:
    """Outputs of a first frame: after the prompt, and after each of the clicks that `correct` adds to it."""
    outputs = [first_frame(network, features, prompt)]
    for _ in range(corrections):
        prompt = correct(outputs[-1], prompt)
        outputs.append(first_frame(network, features, prompt))
    return outputs


def with_mask(output: StepOutput, masks: Tensor, no_pointer: Tensor) -> StepOutput:
    """The output as if it had predicted `masks` (B, 1, s, s), for what is written to memory; an empty one is a part that
    was not seen, whose pointer is `no_pointer` (1, C)."""
    seen = masks.amax((1, 2, 3))[:, None] > 0
    return replace(
        output,
        low_res_logits=(2 * masks - 1) * SURE,
        object_score=torch.where(seen, output.object_score, -SURE),
        pointer=torch.where(seen, output.pointer, no_pointer),
    )
