"""Parts whose memories have one layout, and the calls of the network that groups of several streams share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from ..model import ImageFeatures, MemoryEntry, Prompt, RobotSeg, StepOutput
from .holes import fill_holes
from .memory_bank import MemoryBank, split


@dataclass
class Group:
    """Parts of one stream whose memories have one layout, and so are one batch for the network."""

    parts: tuple[str, ...]
    bank: MemoryBank


@dataclass(frozen=True)
class Asked:
    """A group to be found in one of several images.

    image: the image's row in the features. prompt: what the user says of the group's only part, in the network's pixels.
    fill_hole_area: holes of up to so many low-res pixels are filled.
    """

    image: int
    group: Group
    prompt: Prompt | None = None
    fill_hole_area: int = 0


@dataclass(frozen=True)
class Tracked:
    """What the network says of a group, and what is to be written to the group's bank."""

    output: StepOutput
    memory: MemoryEntry
    prompted: bool = False


def track(network: RobotSeg, features: ImageFeatures, asked: Sequence[Asked], timer: StageTimer) -> list[Tracked]:
    """The answer for every group, in order; no bank is changed.

    Groups of different images whose memories agree in layout go through the network together.
    """
    answers: dict[int, Tracked] = {}
    for numbers in _batches(asked):
        same = [asked[i] for i in numbers]
        rows = [len(one.group.parts) for one in same]
        seen = _features_of(features, [one.image for one in same], rows)
        bank = MemoryBank.join([one.group.bank for one in same])
        with timer.stage("track"):
            output = _call(network, seen, bank, same)
            shown = [_without_holes(one, a.fill_hole_area) for one, a in zip(_split(output, rows), same, strict=True)]
        with timer.stage("encode_memory"):
            # As published: a conditioning frame is remembered with its holes filled, a tracked one as decoded.
            filled = replace(output, low_res_logits=torch.cat([one.low_res_logits for one in shown]))
            entry = network.encode_memory(seen, filled if bank.empty else output, binarise=bank.empty)
        prompted = [one.prompt is not None for one in same]
        answers.update(zip(numbers, map(Tracked, shown, split(entry, rows), prompted), strict=True))
    return [answers[i] for i in range(len(asked))]


def merged(groups: Sequence[Group]) -> list[Group]:
    """Groups of one stream, those joined whose memories have come to the same layout: one batch from now on."""
    by_kind: dict[object, list[Group]] = {}
    for group in groups:
        by_kind.setdefault(group.bank.kind, []).append(group)
    return [
        Group(tuple(part for group in same for part in group.parts), MemoryBank.join([group.bank for group in same]))
        for same in by_kind.values()
    ]


def _batches(asked: Sequence[Asked]) -> list[list[int]]:
    """Places of those that can go together; a prompt goes alone, since prompts differ in length."""
    together: dict[object, list[int]] = {}
    for i, one in enumerate(asked):
        key = one.group.bank.kind if one.prompt is None else ("prompt", i)
        together.setdefault(key, []).append(i)
    return list(together.values())


def _call(network: RobotSeg, features: ImageFeatures, bank: MemoryBank, asked: Sequence[Asked]) -> StepOutput:
    known = network.config.parts
    numbers = [known.index(part) for one in asked for part in one.group.parts]
    classes = torch.tensor(numbers, device=network.position.device)
    prompt = asked[0].prompt
    if prompt is None:
        return network.track(features, None if bank.empty else bank.view(), classes)
    return network.track(features, None, None if prompt.mask is not None else classes, prompt)


def _features_of(features: ImageFeatures, images: Sequence[int], rows: Sequence[int]) -> ImageFeatures:
    """Features of these images, in this order: an image once where all have the same number of rows (the network then does
    what depends on the image alone once an image), else once a row."""
    if len(set(rows)) > 1:
        images = [image for image, count in zip(images, rows, strict=True) for _ in range(count)]
    if list(images) == list(range(features.tokens.shape[0])):
        return features
    index = list(images)
    return features.map(lambda tensor: tensor[index])


def _split(output: StepOutput, rows: Sequence[int]) -> list[StepOutput]:
    """The output of several groups as one each; a single one is given back as it is."""
    if len(rows) == 1:
        return [output]
    names = ("low_res_logits", "all_logits", "ious", "best", "object_score", "pointer")
    fields = {name: getattr(output, name).split(list(rows)) for name in names}
    fine = [None] * len(rows) if output.fine_logits is None else output.fine_logits.split(list(rows))
    layers = [layer.split(list(rows)) for layer in output.structure]
    return [
        StepOutput(
            **{name: pieces[i] for name, pieces in fields.items()},
            structure=[layer[i] for layer in layers],
            fine_logits=fine[i],
        )
        for i in range(len(rows))
    ]


def _without_holes(output: StepOutput, area: int) -> StepOutput:
    if area == 0:
        return output
    fine = output.fine_logits
    if fine is not None:
        fine = fill_holes(fine, area * fine[0].numel() // output.low_res_logits[0].numel())
    return replace(output, low_res_logits=fill_holes(output.low_res_logits, area), fine_logits=fine)


class StageTimer:
    """Milliseconds by stage; on a CUDA device it waits for the stage's work, so that the figures are its own."""

    def __init__(self, device: torch.device):
        self.milliseconds: dict[str, float] = {}
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent within."""
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + (time.perf_counter() - start) * 1000.0
