"""The robots that can be rendered: their files, how their fingers move and which split they are in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi


@dataclass(frozen=True)
class Gripper:
    """A gripper file and the joint values (radians or metres) of its open and closed state.

    `package` is the asset pack (`robosuite` or `robosuite_models`), `body` the arm's body it is mounted on.
    """

    package: str
    name: str
    fingers: tuple[tuple[str, float, float], ...]
    body: str = "right_hand"


@dataclass(frozen=True)
class Embodiment:
    """A robot of the asset packs.

    `home` are the joint values (radians, in file order) around which random configurations are drawn;
    `arm_roots` name the bodies below which everything is arm (none: all but the gripper is arm).
    `standing` is the height (m) of the base's origin when the robot stands on the floor, None when it is
    mounted on a table. Joints whose name contains a word of `still` do not move; the others' random
    deviation is scaled by `spread`.
    """

    name: str
    family: str
    split: str
    package: str
    home: tuple[float, ...]
    grippers: tuple[Gripper, ...]
    arm_roots: tuple[str, ...] = ()
    standing: float | None = None
    still: tuple[str, ...] = ()
    spread: float = 1.0


PANDA_GRIPPER = Gripper("robosuite", "panda_gripper", (("finger_joint1", 0.04, 0.0), ("finger_joint2", -0.04, 0.0)))
ROBOTIQ_85 = Gripper(
    "robosuite",
    "robotiq_gripper_85",
    (
        ("finger_joint", 0.0, 0.8),
        ("left_inner_finger_joint", 0.0, -0.8),
        ("left_inner_knuckle_joint", 0.0, 0.8),
        ("right_outer_knuckle_joint", 0.0, 0.8),
        ("right_inner_finger_joint", 0.0, -0.8),
        ("right_inner_knuckle_joint", 0.0, 0.8),
    ),
)
ROBOTIQ_140 = Gripper(
    "robosuite",
    "robotiq_gripper_140",
    (
        ("finger_joint", 0.0, 0.7),
        ("left_inner_finger_joint", 0.0, 0.7),
        ("left_inner_knuckle_joint", 0.0, -0.7),
        ("right_outer_knuckle_joint", 0.0, 0.7),
        ("right_inner_finger_joint", 0.0, 0.7),
        ("right_inner_knuckle_joint", 0.0, -0.7),
    ),
)
RETHINK = Gripper(
    "robosuite", "rethink_gripper", (("l_finger_joint", 0.02, -0.0115), ("r_finger_joint", -0.02, 0.0115))
)
JACO_HAND = Gripper(
    "robosuite",
    "jaco_three_finger_gripper",
    tuple((f"joint_{f}", 0.3, 1.3) for f in ("thumb", "index", "pinky"))
    + tuple((f"joint_{f}_distal", 0.1, 0.9) for f in ("thumb", "index", "pinky")),
)
XARM_GRIPPER = Gripper(
    "robosuite",
    "xarm7_gripper",
    tuple(
        (f"{side}_{joint}", 0.0, 0.85)
        for side in ("left", "right")
        for joint in ("driver_joint", "finger_joint", "inner_knuckle_joint")
    ),
)
ALOHA_GRIPPER = Gripper(
    "robosuite_models", "aloha_gripper", (("left_finger", 0.037, 0.002), ("right_finger", 0.037, 0.002))
)
Z1_GRIPPER = Gripper("robosuite_models", "z1_gripper", (("stator_mover_joint", -1.3, 0.0),))

UMI_GRIPPER = Gripper("robosuite_models", "umi_gripper", (("finger_joint1", -0.04, 0.0), ("finger_joint2", -0.04, 0.0)))
SPOT_GRIPPER = Gripper("robosuite", "bd_gripper", (("arm_f1x", -1.4, 0.0),))


def _both_hands(gripper: Gripper) -> tuple[Gripper, Gripper]:
    return gripper, replace(gripper, body="left_hand")


def _yumi_gripper(side: str) -> Gripper:
    letter = side[0]
    fingers = ((f"gripper_{letter}_joint", 0.025, 0.0), (f"gripper_{letter}_joint_m", 0.025, 0.0))
    return Gripper("robosuite_models", f"yumi_{side}_gripper", fingers, f"{side}_hand")


def _fourier_hand(side: str) -> Gripper:
    letter = side[0].upper()
    bends = [(f"{letter}_thumb_{joint}_joint", 0.1, 0.9) for joint in ("proximal_yaw", "proximal_pitch", "distal")]
    for finger in ("index", "middle", "ring", "pinky"):
        bends += [(f"{letter}_{finger}_{joint}_joint", 0.1, 1.3) for joint in ("proximal", "intermediate")]
    return Gripper("robosuite", f"fourier_{side}_hand", tuple(bends), f"{side}_eef")


PR2_GRIPPER = Gripper(
    "robosuite_models",
    "pr2_gripper",
    tuple((f"gripper_{side}_finger{tip}_joint", 0.5, 0.0) for side in "lr" for tip in ("", "_tip")),
)
_ARM_MOUNTS = ("right_arm_mount", "left_arm_mount")
_BAXTER_ARM = (0.403, -0.636, 0.114, 1.432, 0.735, 1.205, -0.269)
_TIAGO_ARM = (0, -0.9, 1.45, 1.7, -1.5, 0.5)
_PR2_ARM = (0, 0, 0, -1.2, 0, -0.6, 0)
_YUMI_ARM = (-0.68, -0.43, -0.35, 0.12, -0.25, 0.83, 1.0)
_GR1_ARM = (0, -0.1, 0, -1.57, 0, 0, 0)


def _mirrored(arm: tuple[float, ...], flipped: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(-value if index in flipped else value for index, value in enumerate(arm))


_TABLE = (
    Embodiment("panda", "panda", "train", "robosuite", (0, pi / 16, 0, -2.62, 0, 2.94, pi / 4), (PANDA_GRIPPER,)),
    Embodiment("ur5e", "ur", "train", "robosuite", (-0.47, -1.8, 2.1, -1.83, -1.59, -1.991), (ROBOTIQ_85,)),
    Embodiment("iiwa", "iiwa", "train", "robosuite", (0, 0.4, 0, -1.75, 0, 1.0, 0), (ROBOTIQ_140,)),
    Embodiment("kinova3", "kinova", "train", "robosuite", (0, 0.65, 0, 1.89, 0, 0.6, -pi / 2), (ROBOTIQ_85,)),
    Embodiment("jaco", "kinova", "train", "robosuite", (3.192, 3.68, 0, 1.17, 0.05, 3.76, 3.142), (JACO_HAND,)),
    Embodiment("vx300s", "aloha", "train", "robosuite_models", (0, -0.3, 0.4, 0, 0.7, 0), (ALOHA_GRIPPER,)),
    Embodiment("z1", "z1", "val", "robosuite_models", (0, 1.98, -1.55, 1.12, 0, -pi / 2), (Z1_GRIPPER,)),
    Embodiment("sawyer", "sawyer", "test", "robosuite", (0, -1.18, 0, 2.18, 0, 0.57, -1.57), (RETHINK,)),
    Embodiment("xarm7", "xarm", "test", "robosuite", (0, 0, 0, 1.225, 0, 1.225, 0), (XARM_GRIPPER,)),
    Embodiment("arx5", "arx", "hard", "robosuite_models", (0, 1.75, 1.7, -0.85, 0, 0), (UMI_GRIPPER,)),
    Embodiment("spot_arm", "spot", "hard", "robosuite", (0, -1.6, 1.8, 0, 0.9, 0), (SPOT_GRIPPER,)),
    Embodiment(
        "aloha",
        "aloha",
        "train_two_arms",
        "robosuite_models",
        (0, -0.3, 0.4, 0, 0.7, 0) * 2,
        _both_hands(ALOHA_GRIPPER),
        spread=0.8,
    ),
    Embodiment(
        "yumi",
        "yumi",
        "train_two_arms",
        "robosuite_models",
        _YUMI_ARM + _mirrored(_YUMI_ARM, (0, 2, 4, 6)),
        (_yumi_gripper("right"), _yumi_gripper("left")),
        arm_roots=("right_arm", "left_arm"),
        spread=0.6,
    ),
    Embodiment(
        "tiago",
        "tiago",
        "train_two_arms",
        "robosuite",
        (0.1, 0, 0, *_TIAGO_ARM, *_TIAGO_ARM),
        _both_hands(ROBOTIQ_85),
        arm_roots=_ARM_MOUNTS,
        standing=0.0,
        still=("torso",),
        spread=0.7,
    ),
    Embodiment(
        "baxter",
        "sawyer",
        "hard",
        "robosuite",
        _BAXTER_ARM + _mirrored(_BAXTER_ARM, (0, 2, 4, 6)),
        _both_hands(RETHINK),
        arm_roots=_ARM_MOUNTS,
        standing=0.93,
        spread=0.6,
    ),
    Embodiment(
        "gr1",
        "gr1",
        "hard",
        "robosuite",
        (*(0.0,) * 6, *_GR1_ARM, *_mirrored(_GR1_ARM, (1,)), *(0.0,) * 12),
        (_fourier_hand("right"), _fourier_hand("left")),
        arm_roots=_ARM_MOUNTS,
        standing=0.95,
        still=("leg", "torso"),
        spread=0.7,
    ),
    Embodiment(
        "pr2",
        "pr2",
        "hard",
        "robosuite_models",
        (0, 0.3, *_PR2_ARM, *_PR2_ARM),
        _both_hands(PR2_GRIPPER),
        arm_roots=("right_arm", "left_arm"),
        standing=0.0,
        spread=0.7,
    ),
)

EMBODIMENTS: dict[str, Embodiment] = {entry.name: entry for entry in _TABLE}
"""All embodiments by name."""


def embodiment(name: str) -> Embodiment:
    """Returns the embodiment of that name; raises KeyError that lists the known ones."""
    if name not in EMBODIMENTS:
        raise KeyError(f"unknown embodiment {name!r}; known: {', '.join(EMBODIMENTS)}")
    return EMBODIMENTS[name]


def names(split: str | None = None) -> tuple[str, ...]:
    """Names of the embodiments of a split (`train`, `train_two_arms`, `val`, `test`, `hard`), or of all."""
    return tuple(e.name for e in _TABLE if split is None or e.split == split)


def companions(entry: Embodiment) -> tuple[str, ...]:
    """The arms that may stand behind a robot: of its own side of the splits, so that unseen robots stay unseen."""
    split = entry.split.removesuffix("_two_arms")
    return tuple(other.name for other in _TABLE if other.split == split and len(other.grippers) == 1)
