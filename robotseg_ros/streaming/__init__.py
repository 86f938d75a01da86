"""One endless stream of frames: bounded memory, prompts, and a mask for each part."""

from .memory_bank import MemoryBank
from .segmenter import Segmentation, StreamSegmenter, step_together

__all__ = ["MemoryBank", "Segmentation", "StreamSegmenter", "step_together"]
