"""Which robots and which seeds belong to training and which to each evaluation; nothing is in two of them."""

from __future__ import annotations

from dataclasses import dataclass

from .embodiments import names

SEEDS = 1_000_000
"""How many clip seeds a split has."""


@dataclass(frozen=True)
class Split:
    """`embodiments` are filmed in turn, with `SEEDS` clip seeds from `first_seed` on."""

    embodiments: tuple[str, ...]
    first_seed: int
    purpose: str


_TRAINED = names("train") + names("train_two_arms")

SPLITS: dict[str, Split] = {
    "train": Split(_TRAINED, 0, "training"),
    "seen": Split(_TRAINED, 5_000_000, "validation: robots of training in scenes that it has not seen"),
    "val": Split(names("val"), 6_000_000, "validation: a robot that is not trained on, for choices"),
    "heldout": Split(names("test"), 7_000_000, "robots used for nothing but the final figure"),
    "hard": Split(names("hard"), 8_000_000, "robots unlike those of training: a mobile manipulator's, humanoids"),
}
"""The splits by name. All but `train` show backgrounds and textures that training never shows."""
