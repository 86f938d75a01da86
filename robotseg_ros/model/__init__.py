"""The RobotSeg network in plain PyTorch, on SAM 2's building blocks. Nothing here knows of ROS, cameras or streams."""

from .adapter import EmbodimentAdapter, add_adapter, load_adapter, save_adapter
from .catalog import ModelFile, available_models, build_network, load_model, model_info
from .checkpoint import CheckpointError, initialise_from, load_checkpoint, save_checkpoint
from .config import PARTS, ModelConfig, preset
from .network import ImageFeatures, MemoryEntry, MemoryView, Prompt, RobotSeg, StepOutput
from .preprocessing import preprocess

__all__ = [
    "PARTS",
    "CheckpointError",
    "EmbodimentAdapter",
    "ImageFeatures",
    "MemoryEntry",
    "MemoryView",
    "ModelConfig",
    "ModelFile",
    "Prompt",
    "RobotSeg",
    "StepOutput",
    "add_adapter",
    "available_models",
    "build_network",
    "initialise_from",
    "load_adapter",
    "load_checkpoint",
    "load_model",
    "model_info",
    "preprocess",
    "preset",
    "save_adapter",
    "save_checkpoint",
]
