"""Weights load from every format that is promised, and every unusable file is named and explained."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from robotseg_ros.model import CheckpointError, RobotSeg, initialise_from, load_checkpoint, preset, save_checkpoint

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> RobotSeg:
    torch.manual_seed(0)
    return RobotSeg(preset("robotseg_nano")).eval()


def _fresh() -> RobotSeg:
    torch.manual_seed(1)
    return RobotSeg(preset("robotseg_nano")).eval()


def _same(a: RobotSeg, b: RobotSeg) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())


def _as_published(weights: Weights, path: Path) -> None:
    torch.save({"model": weights}, path)


def _as_plain_dict(weights: Weights, path: Path) -> None:
    torch.save(weights, path)


@pytest.mark.parametrize(
    "write, name", [(_as_published, "a.pt"), (_as_plain_dict, "a.pt"), (save_file, "a.safetensors")]
)
def test_each_format_loads(network: RobotSeg, tmp_path: Path, write: Callable[..., None], name: str) -> None:
    write(network.state_dict(), tmp_path / name)
    other = _fresh()
    assert not _same(network, other)
    load_checkpoint(other, tmp_path / name)
    assert _same(network, other)


def test_what_is_saved_loads_and_leaves_no_partial_file(network: RobotSeg, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "new" / "weights.safetensors", {"note": "x"})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights.safetensors"]
    other = _fresh()
    load_checkpoint(other, tmp_path / "new" / "weights.safetensors")
    assert _same(network, other)


def test_starting_from_a_checkpoint_without_our_parts_reports_them(network: RobotSeg, tmp_path: Path) -> None:
    new = ("structure", "ms_pyramid", "robot_prompt_generator", "robot_token_embedding")
    weights = {name: value for name, value in network.state_dict().items() if not any(n in name for n in new)}
    _as_published(weights, tmp_path / "sam2.pt")
    other = _fresh()
    reported = initialise_from(other, tmp_path / "sam2.pt")
    assert reported and all(any(n in name for n in new) for name in reported)
    assert len(reported) == len(network.state_dict()) - len(weights)
    assert torch.equal(other.no_mem_embed, network.no_mem_embed)


def test_what_is_to_start_anew_is_not_taken_from_the_checkpoint(network: RobotSeg, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "base.safetensors")
    other, untouched = _fresh(), _fresh().state_dict()
    reported = initialise_from(other, tmp_path / "base.safetensors", anew=["memory_attention.", "no_mem_embed"])
    assert reported and all(name.startswith(("memory_attention.", "no_mem_embed")) for name in reported)
    for name, value in other.state_dict().items():
        assert torch.equal(value, untouched[name] if name in reported else network.state_dict()[name]), name
    with pytest.raises(ValueError, match="no weight's name begins with 'memory_atention'"):
        initialise_from(other, tmp_path / "base.safetensors", anew=["memory_atention"])


def test_the_published_model_adds_114_tensors_to_sam2(tmp_path: Path) -> None:
    published = RobotSeg(preset("robotseg"))
    new = ("structure", "ms_pyramid", "robot_prompt_generator", "robot_token_embedding")
    weights = {n: v for n, v in published.state_dict().items() if not any(k in n for k in new)}
    torch.save({"model": weights}, tmp_path / "sam2.1_hiera_tiny.pt")
    assert len(initialise_from(published, tmp_path / "sam2.1_hiera_tiny.pt")) == 114


def _missing(weights: Weights, path: Path) -> None:
    _as_published({k: v for k, v in weights.items() if not k.startswith("memory_encoder")}, path)


def _other_shape(weights: Weights, path: Path) -> None:
    _as_published({**weights, "no_mem_embed": torch.zeros(1, 1, 7)}, path)


def _unknown(weights: Weights, path: Path) -> None:
    _as_published({**weights, "backbone.layer1": torch.zeros(1)}, path)


def _cut(weights: Weights, path: Path) -> None:
    _as_published(weights, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _not_torch(weights: Weights, path: Path) -> None:
    path.write_text("<html>404</html>")


def _empty(weights: Weights, path: Path) -> None:
    path.write_bytes(b"")


def _code(weights: Weights, path: Path) -> None:
    path.write_bytes(pickle.dumps(Path("/etc/passwd")))


def _list(weights: Weights, path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (_missing, ["expected tensors are missing", "memory_encoder"]),
        (_other_shape, ["no_mem_embed is (1, 1, 7), expected (1, 1, 128)"]),
        (_unknown, ["not of this network", "backbone.layer1"]),
        (_cut, ["cannot be read", "cut short"]),
        (_not_torch, ["cannot be read"]),
        (_empty, ["cannot be read", "0 bytes"]),
        (_code, ["cannot be read", "nothing else is unpickled"]),
        (_list, ["holds a list", "expected tensors by name"]),
    ],
)
def test_an_unusable_file_is_explained(
    network: RobotSeg, tmp_path: Path, spoil: Callable[[Weights, Path], None], expected: list[str]
) -> None:
    path = tmp_path / "bad.pt"
    spoil(network.state_dict(), path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(_fresh(), path)
    for words in [str(path), *expected]:
        assert words in str(caught.value)


def test_a_cut_safetensors_file_is_explained(network: RobotSeg, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_checkpoint(network, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(_fresh(), path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere.pt does not exist"):
        load_checkpoint(_fresh(), tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(_fresh(), tmp_path)


def test_a_file_that_does_not_fit_changes_nothing(network: RobotSeg, tmp_path: Path) -> None:
    _other_shape(network.state_dict(), tmp_path / "bad.pt")
    target, untouched = _fresh(), _fresh()
    with pytest.raises(CheckpointError):
        load_checkpoint(target, tmp_path / "bad.pt")
    assert _same(target, untouched)
