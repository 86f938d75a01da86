"""The memories of one endless stream, bounded: a conditioning frame, the last few frames, and a few more pointers.

A frame is written once, complete, and never changed; what no later frame can read is dropped. Rows of the batch are parts
of one image that started on any frame, so the bank of several parts is one batch for the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model import MemoryEntry, MemoryView, ModelConfig


@dataclass(frozen=True)
class _Limits:
    recent: int
    pointers: int


class MemoryBank:
    """Memories of B rows (parts) that advance together; owned by the caller, read through `view`."""

    def __init__(self, num_maskmem: int, max_pointers: int):
        """num_maskmem: spatial memories attended to, the conditioning frame's among them. max_pointers: object pointers,
        likewise."""
        if num_maskmem < 2 or max_pointers < 2:
            raise ValueError(
                f"a memory bank needs num_maskmem and max_pointers of at least 2; got {num_maskmem} and {max_pointers}"
            )
        self._limits = _Limits(num_maskmem - 1, max_pointers - 1)
        self._conditioning: MemoryEntry | None = None
        self._ages: list[int] = []
        self._unprompted: list[bool] = []
        self._recent: deque[MemoryEntry] = deque(maxlen=self._limits.recent)
        self._pointers: deque[Tensor] = deque(maxlen=self._limits.pointers)

    @classmethod
    def for_model(cls, config: ModelConfig, max_pointers: int | None = None) -> MemoryBank:
        """An empty bank of the size `config` asks for."""
        return cls(config.num_maskmem, max_pointers or config.max_pointers)

    @property
    def empty(self) -> bool:
        """Whether the next frame is a conditioning frame."""
        return self._conditioning is None

    @property
    def layout(self) -> tuple[int, int]:
        """How many recent frames and pointers are held."""
        return len(self._recent), len(self._pointers)

    @property
    def kind(self) -> tuple[object, ...]:
        """Banks that agree in this can be joined: emptiness, limits and layout."""
        return self.empty, self._limits, self.layout

    @property
    def nbytes(self) -> int:
        """Bytes held in tensors."""
        entries = [*self._recent] + ([] if self._conditioning is None else [self._conditioning])
        tensors = [t for e in entries for t in (e.features, e.object_tokens, e.pointer)] + list(self._pointers)
        distinct = {t.data_ptr(): t for t in tensors}
        return sum(t.numel() * t.element_size() for t in distinct.values())

    def write(self, entry: MemoryEntry, age: int = 1, prompted: bool = False) -> None:
        """Remember the newest frame; the first one written is the conditioning frame, which may be one of a while ago:
        `age` frames before the coming one, and `prompted`: what the user says is not to be overruled later."""
        if self._conditioning is None:
            self._conditioning = entry
            self._ages = [age] * entry.pointer.shape[0]
            self._unprompted = [not prompted] * entry.pointer.shape[0]
            return
        self._recent.append(entry)
        self._pointers.appendleft(entry.pointer)
        self._ages = [age + 1 for age in self._ages]

    def view(self) -> MemoryView:
        """What the coming frame attends to. Raises ValueError on an empty bank."""
        if self._conditioning is None:
            raise ValueError("the memory bank is empty; the first frame has no memory to attend to")
        count = len(self._recent)
        ages = torch.tensor(self._ages, dtype=torch.float32)
        device = self._conditioning.pointer.device
        unprompted = torch.tensor(self._unprompted).to(device, non_blocking=True) if any(self._unprompted) else None
        return MemoryView(
            conditioning=self._conditioning,
            conditioning_age=ages.to(device, non_blocking=True),
            recent=[(count - i, entry) for i, entry in enumerate(self._recent)],
            pointers=list(enumerate(self._pointers, start=1)),
            max_pointers=self._limits.pointers + 1,
            unprompted=unprompted,
        )

    def select(self, rows: Sequence[int]) -> MemoryBank:
        """A bank of some rows only."""
        index = list(rows)
        return self._like(
            None if self._conditioning is None else _rows(self._conditioning, index),
            [(self._ages[i], self._unprompted[i]) for i in index] if self._ages else [],
            [_rows(entry, index) for entry in self._recent],
            [pointer[index] for pointer in self._pointers],
        )

    @staticmethod
    def join(banks: Sequence[MemoryBank]) -> MemoryBank:
        """One bank of all rows of banks of one `kind`; a single one is given back as it is."""
        if len({bank.kind for bank in banks}) != 1:
            raise ValueError(f"only banks of one layout can be joined; got {[bank.layout for bank in banks]}")
        first = banks[0]
        if len(banks) == 1:
            return first
        entries = [bank._conditioning for bank in banks]
        conditioning = [entry for entry in entries if entry is not None]
        return first._like(
            _joined(conditioning) if conditioning else None,
            [start for bank in banks for start in zip(bank._ages, bank._unprompted, strict=True)],
            [_joined([bank._recent[i] for bank in banks]) for i in range(len(first._recent))],
            [torch.cat([bank._pointers[i] for bank in banks]) for i in range(len(first._pointers))],
        )

    def _like(
        self,
        conditioning: MemoryEntry | None,
        starts: list[tuple[int, bool]],
        recent: list[MemoryEntry],
        pointers: list[Tensor],
    ) -> MemoryBank:
        """starts: age and `unprompted` of every row's conditioning frame."""
        bank = MemoryBank(self._limits.recent + 1, self._limits.pointers + 1)
        bank._conditioning = conditioning
        bank._ages, bank._unprompted = [age for age, _ in starts], [free for _, free in starts]
        bank._recent.extend(recent)
        bank._pointers.extend(pointers)
        return bank


def split(entry: MemoryEntry, rows: Sequence[int]) -> list[MemoryEntry]:
    """One frame's memory of several banks, joined, as one entry each: the first `rows[0]` rows, the next `rows[1]`, ..."""
    if len(rows) == 1:
        return [entry]
    pieces = [tensor.split(list(rows)) for tensor in (entry.features, entry.object_tokens, entry.pointer)]
    return [MemoryEntry(*piece) for piece in zip(*pieces, strict=True)]


def _rows(entry: MemoryEntry, rows: list[int]) -> MemoryEntry:
    return MemoryEntry(entry.features[rows], entry.object_tokens[rows], entry.pointer[rows])


def _joined(entries: Sequence[MemoryEntry]) -> MemoryEntry:
    return MemoryEntry(
        torch.cat([entry.features for entry in entries]),
        torch.cat([entry.object_tokens for entry in entries]),
        torch.cat([entry.pointer for entry in entries]),
    )
