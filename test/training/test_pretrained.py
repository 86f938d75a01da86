"""The trunk that starts from a detector's weights. Tests have no network for the package: its convolutions are drawn."""

import io
import tarfile

import pytest
import torch
import torch.nn.functional as F

from robotseg_ros.model.config import MobileTrunk
from robotseg_ros.model.trunk import MobileNetTrunk
from robotseg_ros.training import pretrained


@pytest.fixture
def given(monkeypatch):
    """Convolutions with biases, as the detector has them, and one more that is not the trunk's."""
    torch.manual_seed(0)
    layers = list(pretrained.convolutions_of(MobileNetTrunk(MobileTrunk())))
    convolutions = [(layer[0].weight.detach(), 0.1 * torch.randn(len(layer[0].weight))) for layer in layers]
    monkeypatch.setattr(pretrained, "read_convolutions", lambda _: [*convolutions, (torch.zeros(1), torch.zeros(1))])
    return convolutions


def folded_output(given, x):
    """The detector's blocks written out, convolutions with biases on what its stem gives."""
    layers, width = iter(given[1:]), 32

    def convolve(x, kernel=1, stride=1, groups=1):
        weight, bias = next(layers)
        return F.conv2d(x, weight, bias, stride, kernel // 2, groups=groups)

    for level, groups in enumerate(MobileTrunk().levels):
        for place, (expansion, channels, count) in enumerate(groups):
            for index in range(count):
                stride = 2 if level > 0 and place == index == 0 else 1
                y = F.relu6(convolve(x)) if expansion > 1 else x
                y = convolve(F.relu6(convolve(y, 3, stride, y.shape[1])))
                x, width = (x + y if stride == 1 and width == channels else y), channels
    return x


@torch.no_grad()
def test_the_calibrated_trunk_does_what_the_folded_one_did(given):
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    trunk = pretrained.pretrained_trunk(b"", images)
    pixels = pretrained.normalised(images)
    expected = folded_output(given, F.relu6(trunk.stem(pixels)))
    assert expected.shape == (2, 320, 2, 2) and expected.std() > 0
    assert torch.allclose(trunk(pixels)[-1], expected, atol=1e-4 * float(expected.abs().max()))
    by_batch = trunk.train()(pixels)[-1]  # the statistics are those of these pictures
    assert torch.allclose(by_batch, expected, atol=0.1 * float(expected.abs().max()))


def test_the_stem_takes_in_the_other_normalisation(given):
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    trunk = pretrained.pretrained_trunk(b"", images)
    weight, bias = given[0]
    with torch.no_grad():
        theirs = F.conv2d(images.permute(0, 3, 1, 2).float() / 127.5 - 1, weight, bias, 2, 1)
        ours = trunk.stem(pretrained.normalised(images))
    assert torch.allclose(ours[..., 1:, 1:], theirs[..., 1:, 1:], atol=1e-4)


def test_another_network_is_refused(given, monkeypatch):
    monkeypatch.setattr(pretrained, "read_convolutions", lambda _: given[:5])
    with pytest.raises(pretrained.PretrainedError, match="not those of MobileNetV2"):
        pretrained.pretrained_trunk(b"", torch.zeros(1, 64, 64, 3, dtype=torch.uint8))


def test_the_model_is_found_in_the_package_and_nowhere_else(tmp_path):
    model = b"\x1c\0\0\0TFL3 and so on"
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(model)
    assert pretrained.find_model(plain) == model
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        entry = tarfile.TarInfo(pretrained.PACKAGE_MEMBER)
        entry.size = len(b"labels" + model)
        archive.addfile(entry, io.BytesIO(b"labels" + model))
    assert pretrained.find_model(package) == model
    (tmp_path / "text").write_text("hello, this is no package")
    with pytest.raises(pretrained.PretrainedError, match="text: neither"):
        pretrained.find_model(tmp_path / "text")
