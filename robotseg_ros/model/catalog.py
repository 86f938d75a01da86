"""Models by name: each is a YAML file in `config/models/` that says which network it is and where its weights lie."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from ..resources import config_dir
from .adapter import load_adapter
from .checkpoint import CheckpointError, load_checkpoint
from .config import ModelConfig, preset
from .network import RobotSeg

_log = logging.getLogger(__name__)
_KEYS = ("name", "preset", "checkpoint", "edge_source", "image_size", "description", "source")


@dataclass(frozen=True)
class ModelFile:
    """One model file: `config` is its preset with the `edge_source` and `image_size` that the file gives, `checkpoint` None
    where the user has to bring the weights, `source` says from where."""

    name: str
    config: ModelConfig
    checkpoint: Path | None
    description: str
    source: str


def available_models() -> list[str]:
    """Names of the models in `config/models/`, sorted."""
    return sorted(path.stem for path in (config_dir() / "models").glob("*.yaml"))


def model_info(model: str | Path) -> ModelFile:
    """The model file called `model`, or at that path. Raises ValueError that says what is wrong and what there is."""
    path = _model_path(model)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"model file {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"model file {path} must be a mapping with the keys {', '.join(_KEYS)}")
    unknown = sorted(set(content) - set(_KEYS))
    if unknown or "preset" not in content:
        wrong = f"unknown keys {unknown}" if unknown else "no 'preset'"
        raise ValueError(f"model file {path} has {wrong}; its keys are {', '.join(_KEYS)}")
    chosen = {key: content[key] for key in ("edge_source", "image_size") if content.get(key)}
    try:
        config = dataclasses.replace(preset(content["preset"]), **chosen)
    except (ValueError, TypeError) as error:
        raise ValueError(f"model file {path}: {error}") from error
    checkpoint = content.get("checkpoint")
    return ModelFile(
        name=content.get("name", path.stem),
        config=config,
        checkpoint=(path.parent / checkpoint).resolve() if checkpoint else None,
        description=content.get("description", ""),
        source=content.get("source", ""),
    )


def _model_path(model: str | Path) -> Path:
    text = str(model)
    if text.endswith((".yaml", ".yml")):
        path = Path(text).expanduser()
        if not path.is_file():
            raise ValueError(f"model file {path} does not exist")
        return path
    path = config_dir() / "models" / f"{text}.yaml"
    if "/" in text or not path.is_file():
        raise ValueError(f"there is no model {text!r}; models are {', '.join(available_models())}, or give a YAML file")
    return path


def build_network(
    model: str | Path = "robotseg_nano",
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    edge_source: str | None = None,
) -> RobotSeg:
    """The network of a model, in evaluation mode on `device`.

    checkpoint: weights to load instead of the model file's own. Where neither names any, the network keeps random weights
    and a warning says so. edge_source: `rgb` or `normalised`, in place of the model file's. Raises ValueError for an
    unknown model and CheckpointError for weights that are missing or do not fit.
    """
    info = model_info(model)
    network = RobotSeg(dataclasses.replace(info.config, edge_source=edge_source or info.config.edge_source))
    path = Path(checkpoint).expanduser() if checkpoint else info.checkpoint
    if path is None:
        _log.warning("model %s: no checkpoint given, the weights are random. %s", info.name, info.source)
    else:
        try:
            load_checkpoint(network, path)
        except CheckpointError as error:
            hint = f" Where the weights come from: {info.source}" if info.source else ""
            raise CheckpointError(f"model {info.name}: {error}.{hint}") from error
    return network.eval().requires_grad_(False).to(device)


def load_model(
    model: str | Path = "robotseg_nano",
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    adapter: str | Path | None = None,
) -> RobotSeg:
    """`build_network` for use: raises CheckpointError, not a warning, where there are no weights.

    adapter: file of a small adapter for one embodiment, trained for this model (see `model/adapter.py`).
    """
    info = model_info(model)
    if not checkpoint and info.checkpoint is None:
        raise CheckpointError(
            f"model {info.name} comes without weights, and no checkpoint was given; give the path of its checkpoint. "
            f"Where to get it: {info.source}"
        )
    network = build_network(model, checkpoint, device)
    load_adapter(network, adapter)
    return network
