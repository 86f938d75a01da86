"""Reading and writing network weights: the published `robotseg.pt`, SAM 2.1 checkpoints to start from, our safetensors."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_SHOWN = 5


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, what is wrong with it and what was expected."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint file by name.

    `.safetensors` holds them directly; a PyTorch file (read with `weights_only=True`) is a dict of tensors or has one
    under the key `model`. Raises CheckpointError for a file that is missing, cut short or of another kind.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise CheckpointError(f"checkpoint {path} {what}; give the path of a .pt or .safetensors file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"checkpoint {path} holds {_describe(content)}; expected tensors by name, or a dict with such under 'model'"
        )
    if not content:
        raise CheckpointError(f"checkpoint {path} holds no tensors")
    return dict(content)


def load_checkpoint(network: nn.Module, path: str | Path) -> None:
    """Load every weight of `network` from `path`. Raises CheckpointError unless names and shapes all agree."""
    weights = read_weights(path)
    _check(network, weights, Path(path), allow_missing=False)
    network.load_state_dict(weights)


def initialise_from(network: nn.Module, path: str | Path, anew: Sequence[str] = ()) -> list[str]:
    """Start `network` from a checkpoint that lacks some of its weights, such as SAM 2.1 tiny's.

    anew: prefixes of the names of what is not taken from the file. Returns the names of what keeps its initial values,
    sorted. Raises CheckpointError when the file holds names or shapes that the network does not, or nothing that it does,
    and ValueError for a prefix that no name has.
    """
    names = network.state_dict()
    for prefix in anew:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(
                f"no weight's name begins with {prefix!r}; names are such as {', '.join(list(names)[::60])}"
            )
    weights = {name: tensor for name, tensor in read_weights(path).items() if not name.startswith(tuple(anew))}
    _check(network, weights, Path(path), allow_missing=True)
    return sorted(network.load_state_dict(weights, strict=False).missing_keys)


def save_checkpoint(network: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the network's weights, as `write_weights`."""
    write_weights(network.state_dict(), path, metadata)


def write_weights(weights: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors; a file that was there is replaced only once the new one is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    save_file(tensors, partial, metadata=dict(metadata or {}))
    partial.replace(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(_unreadable(path, "a safetensors file", error)) from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            _unreadable(path, "a PyTorch checkpoint of plain tensors (nothing else is unpickled, for safety)", error)
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(_unreadable(path, "a PyTorch checkpoint", error)) from error


def _unreadable(path: Path, expected: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    size = path.stat().st_size if path.exists() else 0
    return (
        f"checkpoint {path} ({size:,} bytes) cannot be read; expected {expected}. It may be cut short: compare its size "
        f"with the original and fetch it again. Reason: {reason}"
    )


def _check(network: nn.Module, weights: Mapping[str, Tensor], path: Path, allow_missing: bool) -> None:
    expected = network.state_dict()
    problems = []
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    shared = [name for name in expected if name in weights]
    if missing and (not allow_missing or not shared):
        problems.append(f"{len(missing)} of {len(expected)} expected tensors are missing: {_first(missing)}")
    if unknown:
        problems.append(f"{len(unknown)} are not of this network: {_first(unknown)}")
    differing = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in shared
        if weights[name].shape != expected[name].shape
    ]
    if differing:
        problems.append(f"{len(differing)} have another shape: {_first(differing, '; ')}")
    if problems:
        name = getattr(getattr(network, "config", None), "name", type(network).__name__)
        raise CheckpointError(f"checkpoint {path} does not fit the model {name}: " + ". ".join(problems))


def _first(names: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dict with the keys {_first([repr(key) for key in content])}"
    return f"a {type(content).__name__}"
