"""Camera files (config/cameras/*.yaml): which topics a driver's images are on, and how they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .resources import config_dir

TRANSPORTS = ("raw", "compressed")
TOPICS = ("image", "image/compressed", "camera_info", "depth", "points")


class CameraFileError(ValueError):
    """A camera file is missing or wrong; the message names the file, what is wrong and what is allowed."""


@dataclass(frozen=True)
class CameraFile:
    """What a camera file says: `topics` are the driver's absolute names by the node's own."""

    name: str
    description: str
    transport: str
    topics: Mapping[str, str]

    def remappings(self, image_topic: str = "", camera: str = "") -> list[tuple[str, str]]:
        """Remaps from the topics of the node's `camera` to the driver's; `image_topic` replaces the image's.

        The node listens to compressed images on the image's topic + /compressed, as image_transport names it;
        a driver that names them otherwise needs a second rule.
        """
        below = f"{camera}/" if camera else ""
        image = image_topic or self.topics["image"]
        others = [(below + name, topic) for name, topic in self.topics.items() if not name.startswith("image")]
        pairs = [(f"{below}image", image), *others]
        compressed = self.topics.get("image/compressed", "")
        if not image_topic and compressed and compressed != f"{image}/compressed":
            pairs.append((f"{image}/compressed", compressed))
        return pairs


def available_cameras() -> list[str]:
    """Names of the camera files that come with the package."""
    return sorted(path.stem for path in (config_dir() / "cameras").glob("*.yaml"))


def load_camera(spec: str) -> CameraFile:
    """The camera file that `NAME`, `NAME@NAMESPACE`, `PATH.yaml` or `PATH.yaml@NAMESPACE` asks for.

    The namespace is that of the driver where it is not the one in the file, such as realsense_d4xx@/wrist/camera.
    Raises CameraFileError.
    """
    name, at, namespace = spec.partition("@")
    if at and not namespace.startswith("/"):
        raise CameraFileError(f"camera {spec!r}: after @ comes the driver's absolute namespace, such as {name}@/wrist")
    is_path = name.endswith((".yaml", ".yml"))
    path = Path(name).expanduser() if is_path else config_dir() / "cameras" / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CameraFileError(
            f"there is no camera {name!r} ({path}); known are {', '.join(available_cameras())}, or a file"
        ) from None
    except (OSError, yaml.YAMLError) as error:
        raise CameraFileError(f"{path} cannot be read as YAML: {error}") from error
    return _checked(path, content, namespace)


def _checked(path: Path, content: Any, namespace: str) -> CameraFile:
    keys = ("description", "transport", "namespace", "topics")
    if not isinstance(content, dict):
        raise CameraFileError(f"{path}: expected the keys {', '.join(keys)}")
    wrong = sorted(set(map(str, content)) ^ set(keys))
    if wrong:
        raise CameraFileError(f"{path}: missing or unknown key {', '.join(wrong)}; it has exactly {', '.join(keys)}")
    if content["transport"] not in TRANSPORTS:
        allowed = " or ".join(TRANSPORTS)
        raise CameraFileError(f"{path}: transport is {content['transport']!r}; allowed is {allowed}")
    if not str(content["namespace"]).startswith("/"):
        raise CameraFileError(f"{path}: namespace is {content['namespace']!r}; give an absolute name such as /camera")
    topics = _topics(path, content["topics"], namespace or content["namespace"])
    return CameraFile(path.stem, str(content["description"]), content["transport"], topics)


def _topics(path: Path, topics: Any, namespace: str) -> dict[str, str]:
    if not isinstance(topics, dict) or "image" not in topics:
        raise CameraFileError(f"{path}: topics must name at least the topic of the image, such as image: image_raw")
    for name, topic in topics.items():
        if name not in TOPICS:
            raise CameraFileError(f"{path}: unknown topic {name!r}; known are {', '.join(TOPICS)}")
        if not isinstance(topic, str) or not topic or topic.endswith("/"):
            raise CameraFileError(
                f"{path}: {name} is {topic!r}; give a name below the namespace such as image_raw, or an absolute one"
            )
    return {
        name: topic if topic.startswith("/") else f"{namespace.rstrip('/')}/{topic}" for name, topic in topics.items()
    }
