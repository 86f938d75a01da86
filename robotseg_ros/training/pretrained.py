"""A MobileNetV2 trunk that has seen photographs: MediaPipe's object detector (SSD on OpenImages V4; Apache-2.0).

The npm package `@mediapipe/objectron` carries them as half-precision TensorFlow Lite; `setup/fetch_trunk.sh` gets it. Its
batch normalisations were folded into the convolutions; training wants them back, so each is put in again as the identity
that the statistics of our own pictures make of it.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..dataset.folders import list_clips, named_clip
from ..model.config import MobileTrunk
from ..model.trunk import MobileNetTrunk
from .rollout import MEAN, STD, normalised

PACKAGE_MEMBER = "package/objectron_solution_packed_assets.data"
MAGIC, MAGIC_OFFSET = b"TFL3", 4  # a TensorFlow Lite file names itself behind its first word


class PretrainedError(ValueError):
    """A file that does not hold the expected weights; the message says what was found."""


def read_convolutions(model: bytes) -> list[tuple[Tensor, Tensor]]:
    """Weights (O, I / groups, k, k) and biases (O,) of a TensorFlow Lite detector's trunk, in the order of execution."""
    import tflite  # an extra: only who makes new weights needs it

    graph = tflite.Model.GetRootAsModel(model, 0)
    net = graph.Subgraphs(0)
    halves: dict[int, int] = {}  # tensor -> the half-precision constant it is made from
    found = []
    for index in range(net.OperatorsLength()):
        operator = net.Operators(index)
        code = graph.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        inputs = operator.InputsAsNumpy()
        if kind == tflite.BuiltinOperator.DEQUANTIZE:
            halves[int(operator.OutputsAsNumpy()[0])] = int(inputs[0])
        elif kind in (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D):
            if net.Tensors(inputs[1]).Name().startswith(b"BoxPredictor"):
                continue
            weight, bias = (_constant(graph, net, halves[int(i)]) for i in inputs[1:3])
            depthwise = kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
            found.append((weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2), bias))
    return found


def _constant(graph: Any, net: Any, index: int) -> Tensor:
    tensor = net.Tensors(index)
    data = graph.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    return torch.from_numpy(np.frombuffer(data, np.float16).astype(np.float32)).view(*tensor.ShapeAsNumpy().tolist())


def find_model(package: Path) -> bytes:
    """The detector inside the npm package (.tgz), or a .tflite file as it is. Raises PretrainedError."""
    data = package.read_bytes()
    if data[MAGIC_OFFSET:].startswith(MAGIC):
        return data
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = archive.extractfile(PACKAGE_MEMBER)
            assert member is not None
            data = member.read()
    except (tarfile.TarError, KeyError, AssertionError) as error:
        raise PretrainedError(f"{package}: neither a .tflite file nor a package with {PACKAGE_MEMBER}") from error
    start = data.find(MAGIC) - MAGIC_OFFSET
    if start < 0:
        raise PretrainedError(f"{package}: {PACKAGE_MEMBER} holds no TensorFlow Lite model")
    return data[start:]


def convolutions_of(trunk: MobileNetTrunk) -> list[nn.Sequential]:
    """Every convolution with its normalisation, in the order of execution."""
    return [module for module in trunk.modules() if isinstance(module, nn.Sequential) and _is_convolution(module)]


def _weight(layer: nn.Sequential) -> Tensor:
    weight = layer[0].weight
    assert isinstance(weight, Tensor)
    return weight


def _is_convolution(module: nn.Sequential) -> bool:
    return [type(part) for part in module][:2] == [nn.Conv2d, nn.BatchNorm2d]


@torch.no_grad()
def pretrained_trunk(model: bytes, images: Tensor) -> MobileNetTrunk:
    """The trunk with the detector's weights, its normalisations calibrated on uint8 `images` (B, S, S, 3).

    The detector takes pixels in [-1, 1], ours are normalised as ImageNet's: the stem takes that in.
    """
    trunk = MobileNetTrunk(MobileTrunk()).eval()
    layers, given = convolutions_of(trunk), read_convolutions(model)[: len(convolutions_of(trunk))]
    if [weight.shape for weight, _ in given] != [_weight(layer).shape for layer in layers]:
        raise PretrainedError("the model's convolutions are not those of MobileNetV2 1.0")
    scale, shift = 2 * torch.tensor(STD), 2 * torch.tensor(MEAN) - 1
    stem_weight, stem_bias = given[0]
    given[0] = (stem_weight * scale[None, :, None, None], stem_bias + (stem_weight.sum((2, 3)) * shift).sum(1))
    for layer, (weight, bias) in zip(layers, given, strict=True):
        _weight(layer).copy_(weight)
        _as_identity(layer[1], torch.zeros_like(bias), torch.ones_like(bias), bias)
    _calibrate(trunk, layers, given, normalised(images))
    return trunk


def _calibrate(
    trunk: MobileNetTrunk, layers: list[nn.Sequential], given: list[tuple[Tensor, Tensor]], images: Tensor
) -> None:
    """Gives every normalisation its inputs' statistics, and the scale and offset that undo them but for the given bias."""
    statistics: list[tuple[Tensor, Tensor]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        statistics.append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

    handles = [layer[1].register_forward_pre_hook(record) for layer in layers]
    trunk(images)
    for handle in handles:
        handle.remove()
    for layer, (_, folded), (mean, variance) in zip(layers, given, statistics, strict=True):
        _as_identity(layer[1], mean, variance, folded + mean)


def _as_identity(norm: nn.Module, mean: Tensor, variance: Tensor, bias: Tensor) -> None:
    """Sets a normalisation so that it adds `bias - mean` and does nothing else while its statistics hold."""
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(bias)


def first_frames(clips: Path, count: int = 64, side: int = 256) -> np.ndarray:
    """(B, side, side, 3) uint8: the first frames of clips spread over a folder. Raises PretrainedError for none."""
    names = list_clips(clips)
    if not names:
        raise PretrainedError(f"{clips}: holds no clips (image/<clip>/<frame>.jpg)")
    picks = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    frames = [named_clip(clips, names[pick], labelled=0).frame(0).image for pick in picks]
    return np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames])


def main() -> int:
    """`python -m robotseg_ros.training.pretrained PACKAGE OUT --clips FOLDER`."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(prog="python -m robotseg_ros.training.pretrained", description=__doc__)
    parser.add_argument("package", type=Path, help="the npm package @mediapipe/objectron (.tgz), or the .tflite in it")
    parser.add_argument("out", type=Path, help="checkpoint to write (.safetensors), for `initial_checkpoint`")
    parser.add_argument("--clips", type=Path, required=True, help="training clips, whose first frames to calibrate on")
    given = parser.parse_args()
    trunk = pretrained_trunk(find_model(given.package), torch.from_numpy(first_frames(given.clips)))
    save_file({f"image_encoder.trunk.{name}": value for name, value in trunk.state_dict().items()}, given.out)
    print(f"{given.out}: {sum(value.numel() for value in trunk.parameters()):,} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
