"""A training run's settings: frozen dataclasses, one per section of the YAML file, each field with its default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

Section = TypeVar("Section")

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list",
    dict: "a mapping",
    NoneType: "null",
}


class SettingsError(ValueError):
    """A training configuration that cannot be used; the message names file, section and key."""


@dataclass(frozen=True)
class DataSettings:
    """Where clips come from and how they are packed. Label-efficient training reads the first frame's masks alone."""

    train: str = ".data/clips/train"
    val: str = ".data/clips/val"
    cache: str = ".data/training_cache"
    frame_width: int = 320
    frame_height: int = 240
    labelled: int | None = 1  # first frames of each training clip whose masks may be read; null: all of them
    workers: int = 1
    worker_nice: int = 0


@dataclass(frozen=True)
class ClipSettings:
    """What a video batch looks like: stills that are moved, forward windows, or palindromes 0, s, 2s, .., s, 0.

    stills: share of the video batches that are made of labelled frames alone, each moved, turned and zoomed over
    `forward_frames` frames, so that the truth is known of all of them (Oh et al. 2019, section 4.2.1). Not in the
    published recipe.
    """

    stills: float = 0.0
    forward_frames: int = 5
    palindrome_frames: int = 4  # distinct frames: 0, s, 2s, 3s, 2s, s, 0
    palindrome: float = 0.3
    strides: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class ScheduleSettings:
    """How long, in which phases. Give `max_minutes` (the run fits a wall-clock budget) or `steps` (exactly resumable)."""

    max_minutes: float | None = None
    steps: int | None = None
    sides: tuple[tuple[float, int], ...] = ()  # (progress, network input side): small first; () is the model's own
    image_fraction: float = 0.55  # of the run spent on single frames
    video_every: int = 2  # in the video phase every n-th step is a video step, the others image steps
    image_batch: int = 16
    video_batch: int = 2
    warmup_steps: int = 200
    epoch_steps: int = 400  # between validations
    checkpoint_minutes: float = 3.0
    val_clips: int = 24


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW, cosine decay, and the moving average of the weights that is evaluated and exported.

    rates: share of the learning rate by prefix of the parameters' names, e.g. {"image_encoder": 0.2}; 0 freezes.
    layer_decay: factor of the learning rate from each block of the trunk to the one before it.
    """

    learning_rate: float = 1e-3
    final_fraction: float = 0.02
    rates: dict[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    beta2: float = 0.98
    clip_norm: float = 1.0
    ema: float = 0.999


@dataclass(frozen=True)
class LossSettings:
    """Weights of the losses; `candidate_share` of the mask loss goes to all candidates, the rest to the best one."""

    focal: float = 5.0
    dice: float = 1.0
    iou: float = 1.0
    object: float = 1.0
    structure: float = 1.0
    cycle: float = 1.0  # of the labelled frame seen again at a palindrome's end
    semantic: float = 1.0  # of frames without labels: they look like frame 0's part
    patch: float = 1.0  # of frames without labels: they overlap with the pseudo-mask
    dense: float = 1.0  # of the training-only head on the image features
    boundary: float = 1.0
    boundary_gain: float = 4.0
    fine: float = 1.0  # of the mask with its boundary refined, which has focal, dice and boundary terms of its own
    candidate_share: float = 0.1


@dataclass(frozen=True)
class PromptSettings:
    """Probabilities of the first frame's prompt; what is left is the class token alone.

    Single frames get no mask, which would be its own answer (there the class token is alone instead), and no corrections.
    """

    points_or_box: float = 0.4
    mask: float = 0.2
    corrections: int = 3  # clicks, each on a random pixel that is still wrong, after a point or box, in clips
    corrupt_memory: float = 0.2  # of video steps start from a perturbed first mask
    long_stream: float = 0.5  # of video steps pretend that the first frame is long ago


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges and probabilities of the augmentation; geometry is drawn once per clip, colours too with a small jitter."""

    flip: float = 0.5
    window: float = 0.1  # a piece of the frame in its place, one without a robot every second time that there is one
    travel: float = 0.0  # of moved stills pass from one piece of the frame to another: robots leave and come in
    zoom: tuple[float, float] = (0.6, 1.6)
    rotation: float = 15.0
    aspect: float = 1.25
    perspective: float = 0.12
    colour: float = 0.8
    gray: float = 0.07
    permute: float = 0.1
    recolour_robot: float = 0.3
    background: float = 0.3
    occluder: float = 0.25
    blur: float = 0.25
    noise: float = 0.35
    jpeg: float = 0.2
    frame_jitter: float = 0.02


@dataclass(frozen=True)
class ComputeSettings:
    """How a step is executed on this machine."""

    device: str = "cpu"
    threads: int = 2
    bf16: bool = False  # of the image encoder; the small attentions of the rest are slower in it
    channels_last: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """A whole run."""

    model: str = "robotseg_nano"
    initial_checkpoint: str | None = None
    anew: tuple[str, ...] = ()  # prefixes of the names of what is not taken from it
    adapter_rank: int | None = (
        None  # train a small adapter of this rank on the frozen network; null: the network itself
    )
    structure: bool = True  # false: the gates of SEMA's structure branches are closed, and they are left out
    patch_features: str | None = None  # folder of a DINOv3 for `transformers`; null: the network's own image encoder
    output: str = ".data/runs/robotseg_nano"
    seed: int = 1
    data: DataSettings = field(default_factory=DataSettings)
    clips: ClipSettings = field(default_factory=ClipSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)


def read_settings(path: Path) -> TrainSettings:
    """Settings from a YAML file; keys left out keep their defaults. Raises SettingsError."""
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    settings = _section(TrainSettings, tree, str(path))
    if (settings.schedule.max_minutes is None) == (settings.schedule.steps is None):
        raise SettingsError(f"{path}: section schedule needs exactly one of max_minutes and steps")
    return settings


def _section(kind: type[Section], tree: Any, where: str) -> Section:
    if not isinstance(tree, dict):
        raise SettingsError(f"{where}: expected a mapping, got {type(tree).__name__}")
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(tree) - known):
        raise SettingsError(f"{where}: unknown keys {unknown}; known are {sorted(known)}")
    hints = get_type_hints(kind)
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in tree.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _section(hint, value, where)  # type: ignore[arg-type]
    kinds = tuple(get_origin(kind) or kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)))
    if isinstance(value, list):
        value = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in value)
    if float in kinds and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError as error:
            raise SettingsError(f"{where}: expected a number, got {value!r}") from error
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        raise SettingsError(f"{where}: expected {wanted}, got {value!r}")
    return value
