"""What is installed on this machine and whether it works: one finding per thing, with what to do about it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from . import __version__

DEFAULT_MODEL = "robotseg_nano"
_PYTHONS = ((3, 10), (3, 14))
# Import name -> distribution. sam2 is checked apart, since it needs its own way of installing.
_REQUIRED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "lz4": "lz4",
    "rosbags": "rosbags",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
}
_SAM2_ADVICE = "SAM2_BUILD_CUDA=0 pip install --no-build-isolation --no-deps sam2==1.1.0 hydra-core iopath"
# Our DDS profile takes 16 MB of /dev/shm per participant.
_LEAST_SHM = 128 * 2**20

Status = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `fail` when what is required cannot work, `note` when an optional thing cannot."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine(
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    ros: bool = False,
    checkpoint: str | None = None,
    transport: bool = False,
) -> Iterator[Finding]:
    """Findings about this installation, as they are made.

    `model`, `checkpoint` (None: the model's own weights) and `device` must work, with `ros` also ROS 2. `transport`
    sends large images between two processes, which takes some seconds. Never raises: a check that breaks is a finding.
    """
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("machine", _machine),
        ("python", _python),
        ("packages", _packages),
        ("torch", lambda: _torch(device)),
        ("sam2", _sam2),
        ("models", lambda: _models(model, checkpoint)),
        ("test image", lambda: _test_image(model, device, checkpoint)),
        ("ROS 2", lambda: _ros(ros)),
        ("DDS", _dds),
        ("large images", lambda: _large_images(ros) if transport else iter(())),
    ]
    for name, check in checks:
        try:
            yield from check()
        # Whatever a broken installation throws is what this is here to report.
        except Exception as error:
            yield Finding(name, "fail", f"{type(error).__name__}: {error}", "see the findings above this one")


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = f"{platform.platform()}, {os.cpu_count()} cores, {memory:.0f} GB"
    jetson = Path("/etc/nv_tegra_release")  # names the L4T release, from which JetPack's follows
    yield Finding("machine", "ok", f"{text}; {jetson.read_text().splitlines()[0]}" if jetson.is_file() else text)


def _python() -> Iterator[Finding]:
    here = sys.version_info[:2]
    text = f"{sys.version.split()[0]} ({sys.executable})"
    if here < _PYTHONS[0]:
        yield Finding("python", "fail", text, "use Python 3.10 to 3.13")
    elif here < _PYTHONS[1]:
        yield Finding("python", "ok", text)
    else:
        yield Finding("python", "note", text, "robotseg_ros was not tried with it; Python 3.10 to 3.13 were")
    yield Finding("robotseg_ros", "ok", f"{__version__} ({Path(__file__).parent})")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(version unknown)"


def _packages() -> Iterator[Finding]:
    versions, missing = [], []
    for name, distribution in _REQUIRED.items():
        try:
            importlib.import_module(name)
            versions.append(f"{name} {_version(distribution)}")
        except ImportError as error:
            missing.append(Finding(name, "fail", f"does not import: {error}", f"pip install {distribution}"))
    if versions:
        yield Finding("packages", "ok", ", ".join(versions))
    yield from missing


def _torch(device: str) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", "fail", f"does not import: {error}", "pip install torch")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield _cuda()
    from .runtime import select_device

    try:
        yield Finding("device", "ok", f"{device} -> {select_device(device)}")
    except ValueError as error:
        yield Finding("device", "fail", str(error), "use --device cpu, or mend the driver (nvidia-smi shows it)")


def _cuda() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Finding("CUDA", "ok", f"{torch.version.cuda}: {names}")
    if not Path("/proc/driver/nvidia").exists() and shutil.which("nvidia-smi") is None:
        return Finding("CUDA", "note", "no NVIDIA GPU seen; the CPU does for robotseg_nano")
    if torch.version.cuda is None:
        advice = "pip install --force-reinstall torch (a build with CUDA)"
        return Finding("CUDA", "note", "an NVIDIA GPU is here, but this torch is built without CUDA", advice)
    advice = "see that nvidia-smi works, and that its driver is new enough for this CUDA"
    return Finding("CUDA", "note", f"torch's CUDA {torch.version.cuda} finds no usable GPU", advice)


def _sam2() -> Iterator[Finding]:
    try:
        importlib.import_module("sam2.modeling.backbones.image_encoder")
        yield Finding("sam2", "ok", _version("sam2"))
    except ImportError as error:
        yield Finding("sam2", "fail", f"does not import: {error}", _SAM2_ADVICE)


def _models(wanted: str, checkpoint: str | None) -> Iterator[Finding]:
    from .model import available_models

    names = available_models()
    for name in dict.fromkeys([*names, wanted]):
        yield _model(name, name == wanted, checkpoint if name == wanted else None)


def _model(name: str, required: bool, checkpoint: str | None) -> Finding:
    """Whether a model's weights are there and fit it; only the one asked for must work."""
    from .model import build_network, model_info

    bad: Status = "fail" if required else "note"
    try:
        info = model_info(name)
        weights = checkpoint or info.checkpoint
        if weights is None:
            text = "has no weights of its own: the user brings them"
            return Finding(f"model {name}", bad, text, info.source or "name them with --checkpoint")
        network = build_network(name, weights)
    except (ValueError, OSError) as error:
        text = str(error).removeprefix(f"model {name}: ")
        return Finding(f"model {name}", bad, text, "mend the file named here, or name another --model or --checkpoint")
    count = sum(parameter.numel() for parameter in network.parameters())
    return Finding(f"model {name}", "ok", f"{count / 1e6:.1f} M parameters, {weights}")


def _test_image(model: str, device: str, checkpoint: str | None) -> Iterator[Finding]:
    """Three frames through the whole path; the later ones have a memory, as in a stream."""
    import numpy as np

    from .model import build_network
    from .runtime import prepare, select_device
    from .streaming import StreamSegmenter

    try:
        target = select_device(device)
        stream = StreamSegmenter(prepare(build_network(model, checkpoint, target)))
    except (ValueError, OSError):
        yield Finding("test image", "fail", "not tried: the model or the device does not work", "see above")
        return
    image = np.full((480, 640, 3), 90, np.uint8)
    image[120:400, 260:330] = 235
    times = []
    for _ in range(3):
        began = time.perf_counter()
        result = stream.step(image)
        times.append((time.perf_counter() - began) * 1e3)
    right = all(mask.shape == image.shape[:2] and mask.dtype == bool for mask in result.masks.values())
    if right and all(np.isfinite(score) for score in result.object_score.values()):
        yield Finding(
            "test image", "ok", f"640x480 on {target}: {times[-1]:.0f} ms a frame ({', '.join(result.masks)})"
        )
    else:
        yield Finding(
            "test image", "fail", "masks of wrong shape or scores that are no numbers", "report this as a bug"
        )


def _ros(required: bool) -> Iterator[Finding]:
    bad: Status = "fail" if required else "note"
    try:
        importlib.import_module("rclpy")
    except ImportError as error:
        advice = "source /opt/ros/DISTRO/setup.bash, or `make setup` in the source tree; only the node needs it"
        yield Finding("ROS 2", bad, f"rclpy does not import: {error}", advice)
        return
    domain = os.environ.get("ROS_DOMAIN_ID", "0, the default")
    yield Finding("ROS 2", "ok", f"{_ros_name()}, domain {domain}")
    try:
        importlib.import_module("robotseg_ros.msg")
        yield Finding("messages", "ok", "robotseg_ros.msg imports")
    except ImportError as error:
        advice = "build the package (colcon build and source install/setup.bash, or `make setup`)"
        yield Finding("messages", bad, f"robotseg_ros.msg does not import: {error}", advice)


def _ros_name() -> str:
    """The distribution that is set up, or the version of rclpy's wheel."""
    distribution = os.environ.get("ROS_DISTRO")
    return distribution if distribution else f"rclpy {_version('ros-rclpy')}"


def _dds() -> Iterator[Finding]:
    if importlib.util.find_spec("rclpy") is not None:
        yield _dds_profile()
        yield from _shared_memory()


def _middleware() -> str:
    """The one that rclpy takes, also where no variable names it."""
    from rclpy.utilities import get_rmw_implementation_identifier

    return os.environ.get("RMW_IMPLEMENTATION") or str(get_rmw_implementation_identifier())


def _profile_advice() -> str:
    """How to set our profile, by the name that this distribution's Fast DDS reads."""
    from .ros.environment import profile_variables

    assignments = profile_variables({"ROS_DISTRO": os.environ.get("ROS_DISTRO", "")}).items()
    return f"export {' '.join('='.join(pair) for pair in assignments)} (here and where the camera driver starts)"


def _dds_profile() -> Finding:
    """Whether the middleware is set so that large images arrive."""
    from .ros.environment import PROFILE_VARIABLES

    middleware = _middleware()
    if "fastrtps" not in middleware:
        return Finding("DDS", "ok", f"{middleware} (our profile is for Fast DDS only)")
    chosen = next((os.environ[name] for name in PROFILE_VARIABLES if os.environ.get(name)), None)
    advice = _profile_advice()
    if chosen is None:
        text = "no Fast DDS profile is set: large best-effort images get lost (our launch files set one)"
        return Finding("DDS", "note", text, advice)
    if not Path(chosen).is_file():
        return Finding("DDS", "fail", f"the Fast DDS profile that is set does not exist: {chosen}", advice)
    return Finding("DDS", "ok", f"{middleware}, profile {chosen}")


def _large_images(required: bool) -> Iterator[Finding]:
    """Whether images of a camera's size get from process to process."""
    if any(importlib.util.find_spec(name) is None for name in ("rclpy", "sensor_msgs")):
        return
    from .ros.environment import PROFILE_VARIABLES
    from .ros.transport_check import HEIGHT, IMAGES, RATE, WIDTH, TransportError, large_images

    bad: Status = "fail" if required else "note"
    what = f"best-effort images of {WIDTH}x{HEIGHT} at {RATE:.0f} Hz"
    try:
        arrival = large_images()
    except (TransportError, RuntimeError) as error:
        advice = "look at ROS_AUTOMATIC_DISCOVERY_RANGE, ROS_LOCALHOST_ONLY, RMW_IMPLEMENTATION and the firewall"
        yield Finding("large images", bad, f"{what} could not be tried: {error}", advice)
        return
    text = f"{arrival.received} of {IMAGES} {what} arrived, median {arrival.median_ms:.1f} ms"
    if arrival.received >= 0.9 * IMAGES:
        yield Finding("large images", "ok", text)
    elif any(os.environ.get(name) for name in PROFILE_VARIABLES):
        advice = (
            "more /dev/shm (containers: --ipc=host), larger socket buffers, or a reliable camera: docs/deployment.md"
        )
        yield Finding("large images", bad, text, advice)
    else:
        yield Finding("large images", bad, text, _profile_advice())


def _shared_memory() -> Iterator[Finding]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return
    total = shutil.disk_usage(folder).total
    if total < _LEAST_SHM:
        text = f"/dev/shm has {total // 2**20} MB; each ROS process takes 16 MB of it with our profile"
        yield Finding("shared memory", "note", text, "start the container with --shm-size=512m or --ipc=host")
