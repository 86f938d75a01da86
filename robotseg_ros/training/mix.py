"""Weights between those before and those after a fine-tuning (WiSE-FT, Wortsman et al. 2022, eq. 1).

    python -m robotseg_ros.training.mix BEFORE AFTER OUT --share 0.5

What a late run gained and what it forgot are to some part in different directions; half way often keeps most of both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..model.checkpoint import CheckpointError, read_weights, write_weights


def mix(before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) before + share after, tensor by tensor; counters are those of `after`.

    Raises ValueError where the two are not of one network, or the share is outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be from 0 (before) to 1 (after)")
    shapes = [{name: tuple(tensor.shape) for name, tensor in weights.items()} for weights in (before, after)]
    differ = sorted(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
    if differ:
        raise ValueError(f"the two are not of one network: {len(differ)} tensors differ, such as {differ[0]}")
    return {
        name: tensor if not tensor.is_floating_point() else (1 - share) * before[name] + share * tensor
        for name, tensor in after.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the mixture; 2 where a file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m robotseg_ros.training.mix", description=__doc__)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("out")
    parser.add_argument("--share", type=float, default=0.5, help="of the second; default: 0.5")
    given = parser.parse_args(arguments)
    try:
        write_weights(mix(read_weights(given.before), read_weights(given.after), given.share), given.out)
    except (CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
