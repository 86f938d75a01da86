"""How the C library keeps memory between the steps of a training run."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Has glibc keep what is freed: a step's large tensors come back at the next, and each new page costs a fault.

    On two cores a sixth of a step of robotseg_nano went into these. Does nothing with another C library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
