"""What the launch files do with their arguments, without the launch packages, which not every machine has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cameras import TRANSPORTS, CameraFile, available_cameras, load_camera
from ..dataset.bags import COMPRESSED, choose_topic, list_topics, named_topic

BOOL = ("true", "false")
STARTERS = ("node", "launch", "manager")
COMPRESSED_SUFFIX = "/compressed"


@dataclass(frozen=True)
class Argument:
    """An argument of a launch file; with `choices`, anything else is refused."""

    name: str
    description: str
    default: str = ""
    choices: tuple[str, ...] = ()


NODE_ARGUMENTS = (
    Argument("model", "A model of config/models, such as robotseg_nano, or the path of a model's YAML file"),
    Argument("checkpoint", "Path of the weights; empty: those that the model's file names"),
    Argument("adapter", "Path of an adapter for this robot, as robotseg train makes them; empty: none"),
    Argument(
        "camera",
        f"Driver whose topics to use: {', '.join(available_cameras())}, or the path of such a YAML file; "
        "@NAMESPACE after it where the driver is not in its usual namespace; empty: the image is on <namespace>/image",
    ),
    Argument(
        "cameras",
        "Several cameras, by the names that their topics get: front=zed,wrist=realsense_d4xx@/wrist/camera",
    ),
    Argument("image_topic", "Topic of the image instead of the camera's, without the ending /compressed"),
    Argument(
        "transport",
        "How images come; auto: as the camera's file says, else raw",
        "auto",
        ("auto", *TRANSPORTS),
    ),
    Argument("parts", "Parts to segment, separated by commas, of arm, gripper, robot; empty: arm,gripper"),
    Argument("device", "auto, cpu, cuda or cuda:N; empty: auto"),
    Argument(
        "precision",
        "Number format of the network; empty: float32",
        "",
        ("", "float32", "bfloat16"),
    ),
    Argument("namespace", "Namespace of the node and so of its outputs, such as /camera/mask/arm", "camera"),
    Argument("params_file", "YAML file of parameters, such as config/robotseg.yaml; arguments that are given win"),
    Argument(
        "start",
        "Who configures and activates the node: itself, this launch, or a life-cycle manager of yours; empty: node",
        "",
        ("", *STARTERS),
    ),
    Argument("use_sim_time", "Take the time from /clock", "false", BOOL),
    Argument("respawn", "Start the node again when it dies", "false", BOOL),
    Argument(
        "rviz", "Also start rviz2 with the images, masks, depth and points of config/robotseg.rviz", "false", BOOL
    ),
    Argument("log_level", "Least severity that is logged", "info", ("debug", "info", "warn", "error", "fatal")),
)

_NOT_OF_REPLAY = ("camera", "cameras", "image_topic", "transport", "use_sim_time", "respawn")

REPLAY_ARGUMENTS = (
    Argument("bag", "Bag to play: a rosbag2 folder, or a single .mcap or .db3 file"),
    Argument("image_topic", "Topic of the images in the bag; empty: the only one there is"),
    Argument("rate", "Speed of the replay: 1.0 is real time", "1.0"),
    Argument("loop", "Start again at the end of the bag", "false", BOOL),
    Argument("clock", "Publish /clock with the bag's time and run the node on it", "false", BOOL),
    Argument("record", "Folder of a new bag that gets images, masks, overlay and status; empty: none is made"),
    Argument(
        "truth",
        "Topics of true masks in the bag, as robot=/truth/robot,arm=/truth/arm: at the end, robotseg evaluate scores the "
        "recording; empty: no scores",
    ),
    Argument("scores", "Folder of these scores and their report; empty: the recording's name and _scores"),
    *(argument for argument in NODE_ARGUMENTS if argument.name not in _NOT_OF_REPLAY),
)

# Arguments that are texts and parameters of the same name.
_TEXTS = ("model", "checkpoint", "adapter", "device", "precision")


def node_parameters(given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of the node by the arguments; what is empty is left to the parameter file and the node.

    Raises:
        CameraFileError: a camera's file is missing or wrong.
        ValueError: arguments that exclude each other, or cameras without names.
    """
    parameters: dict[str, Any] = {name: given[name] for name in _TEXTS if given[name]}
    parts = given["parts"].replace(",", " ").split()
    if parts:
        parameters["parts"] = parts
    parameters |= _camera_parameters(given)
    if given["start"] == "launch" and given["respawn"] == "true":
        # Seen to happen: launch asks the service of the killed node, which DDS still knows, and waits for ever.
        raise ValueError(
            "start:=launch cannot start a node again: with respawn:=true leave start to the node (start:=node)"
        )
    if given["start"]:
        parameters["autostart"] = given["start"] == "node"
    if given["use_sim_time"] == "true":
        parameters["use_sim_time"] = True
    return parameters


def _camera_parameters(given: Mapping[str, str]) -> dict[str, Any]:
    """Names of the cameras, and how the images of each come."""
    cameras = _cameras(given)
    parameters: dict[str, Any] = {"cameras": list(cameras)} if given["cameras"] else {}
    if given["transport"] != "auto":
        return parameters | {"transport": given["transport"]}
    transports = {f"{name}.transport" if name else "transport": file.transport for name, file in cameras.items()}
    return parameters | transports


def node_remappings(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Remaps from the node's topics to those of the cameras. Raises as `node_parameters`."""
    topic = given["image_topic"].removesuffix(COMPRESSED_SUFFIX)
    cameras = _cameras(given)
    if not cameras:
        return [("image", topic)] if topic else []
    return [pair for name, file in cameras.items() for pair in file.remappings(topic, name)]


def _cameras(given: Mapping[str, str]) -> dict[str, CameraFile]:
    """Camera files by the names of the node's cameras; a single one has the empty name."""
    if not given["cameras"]:
        return {"": load_camera(given["camera"])} if given["camera"] else {}
    for name in ("camera", "image_topic"):
        if given[name]:
            raise ValueError(f"cameras:={given['cameras']} and {name}:={given[name]} exclude each other")
    cameras: dict[str, CameraFile] = {}
    for entry in given["cameras"].replace(",", " ").split():
        name, equals, driver = entry.partition("=")
        if not (name and equals and driver) or name in cameras:
            raise ValueError(f"cameras:={given['cameras']}: {entry!r}; expected NAME=DRIVER, each name once")
        cameras[name] = load_camera(driver)
    return cameras


def rviz_remappings(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Remaps from the topics in config/robotseg.rviz, which are below /camera, to the node's, of its first camera."""
    place = [given["namespace"].strip("/"), *list(_cameras(given))[:1]]
    prefix = "".join(f"/{name}" for name in place if name)
    outputs = ("overlay", "depth/filtered", "points/filtered")
    return [(f"/camera/{output}", f"{prefix}/{output}") for output in outputs] if prefix != "/camera" else []


def node_logger(namespace: str) -> str:
    """Name of the node's logger, for --log-level NAME:=LEVEL."""
    return ".".join([*namespace.strip("/").split("/"), "robotseg"]).lstrip(".")


@dataclass(frozen=True)
class ReplayPlan:
    """Parameters of the processes that replay a bag into the node."""

    node: dict[str, str]
    replay: dict[str, Any]
    recorder: dict[str, Any] | None
    score: list[str] | None = None


def replay_plan(given: Mapping[str, str]) -> ReplayPlan:
    """What `replay.launch.py` starts: `node` are arguments of robotseg.launch.py, `replay` and `recorder` are parameters,
    `score` are the arguments of Python that score the recording in the end.

    The replay waits until the node listens to the image; with a recording, until the recorder does too and
    has found every output of the node.

    Raises:
        BagError: the bag cannot be read, or it is not clear which of its topics has the images.
        ValueError: true masks of a part that is not segmented, or without a recording to score.
    """
    bag = Path(given["bag"]).expanduser().resolve()
    topic = choose_topic(bag, list_topics(bag), given["image_topic"] or None)
    compressed = topic.type == COMPRESSED
    node = {argument.name: given[argument.name] for argument in NODE_ARGUMENTS if argument.name in given}
    node |= {
        "image_topic": topic.name,
        "transport": "compressed" if compressed else "raw",
        "use_sim_time": given["clock"],
    }
    replay = {
        "bag": str(bag),
        "rate": float(given["rate"]),
        "loop": given["loop"] == "true",
        "clock": given["clock"] == "true",
        "wait_for": [topic.name],
        "listeners": 2 if given["record"] else 1,
        "start_paused": bool(given["record"]),
    }
    recorder = _recorder(given, topic.name) if given["record"] else None
    return ReplayPlan(node, replay, recorder, _score(given, bag, topic.name) if given["truth"] else None)


def _recorded_parts(given: Mapping[str, str]) -> list[str]:
    return given["parts"].replace(",", " ").split() or ["arm", "gripper"]


def _output(given: Mapping[str, str], name: str) -> str:
    namespace = "/" + given["namespace"].strip("/")
    return f"{namespace.rstrip('/')}/{name}"


def _score(given: Mapping[str, str], bag: Path, image: str) -> list[str]:
    """`robotseg evaluate` of the recording, whose masks are matched with the bag's true ones by stamp."""
    if not given["record"]:
        raise ValueError("truth:= scores a recording: give record:=NEW_BAG too")
    if given["loop"] == "true":
        raise ValueError("truth:= scores one pass over the bag, which loop:=true has no end of")
    there, topics = list_topics(bag), []
    for entry in given["truth"].replace(",", " ").split():
        part, equals, topic = entry.partition("=")
        if not equals or part not in _recorded_parts(given):
            parts = ", ".join(_recorded_parts(given))
            raise ValueError(
                f"truth:={given['truth']}: {entry!r}; expected PART=TOPIC with a part of {parts} (parts:=)"
            )
        topics.append((part, named_topic(bag, there, topic).name))
    command = ["-m", "robotseg_ros", "evaluate", given["record"], "--truth-bag", str(bag), "--topic", image]
    for part, topic in topics:
        command += ["--masks-topic", f"{part}={_output(given, f'mask/{part}')}", "--truth-topic", f"{part}={topic}"]
    return [*command, "-o", given["scores"] or given["record"].rstrip("/") + "_scores"]


def _recorder(given: Mapping[str, str], image: str) -> dict[str, Any]:
    outputs = ["status", "labels", "overlay/compressed", *(f"mask/{part}" for part in _recorded_parts(given))]
    topics = [image, *(_output(given, output) for output in outputs)]
    return {"bag": given["record"], "topics": topics, "when_ready": "/replay/resume"}
