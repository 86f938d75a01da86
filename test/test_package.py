"""The package's papers agree with each other and with the code: versions, needs, messages, files."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import robotseg_ros

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "robotseg_ros"
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()

# What is imported under another name than it is installed by: (requirement in setup.cfg, key in package.xml).
# None: has no requirement there, because pip does not have it, rosdep has no key, or it is optional.
PROVIDERS: dict[str, tuple[str | None, str | None]] = {
    "PIL": ("pillow", "python3-pil"),
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "cv_bridge": (None, None),
    "fast_simplification": ("fast-simplification", None),
    "hydra": ("hydra-core", "python3-hydra-core-pip"),
    "lz4": ("lz4", None),
    "matplotlib": ("matplotlib", None),
    "mujoco": ("mujoco", None),
    "numpy": ("numpy", "python3-numpy"),
    "omegaconf": ("hydra-core", "python3-hydra-core-pip"),
    "pyarrow": ("pyarrow", None),
    "ray": ("ray", None),
    "rosbags": ("rosbags", "python3-rosbags-pip"),
    "safetensors": ("safetensors", None),
    "sam2": ("sam2", None),
    "scipy": ("scipy", None),
    "skimage": ("scikit-image", None),
    "tf2_ros": (None, "tf2_ros_py"),
    "tflite": ("tflite", None),
    "torch": ("torch", "python3-pytorch-pip"),
    "tqdm": ("tqdm", "python3-tqdm"),
    "transformers": (None, None),
    "trimesh": ("trimesh", None),
    "yaml": ("pyyaml", "python3-yaml"),
}


def setup_config() -> ConfigParser:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def requirement_names(text: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {re.split(r"[\s\[<>=;]", line)[0].lower().replace("_", "-") for line in lines if line}


def pip_requirements() -> set[str]:
    config = setup_config()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return set().union(*map(requirement_names, texts))


def manifest_keys() -> set[str]:
    return {(element.text or "").strip() for element in MANIFEST if element.tag.endswith("depend")}


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_of(path: Path) -> Iterator[str]:
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if is_for_type_checkers(node):
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def imported_packages() -> list[str]:
    found = {name for path in SOURCES.rglob("*.py") for name in imports_of(path)}
    return sorted(found - set(sys.stdlib_module_names) - {"robotseg_ros", "__future__"})


def fields(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [" ".join(line.split()) for line in lines if line]


def test_the_versions_agree() -> None:
    assert MANIFEST.findtext("version") == robotseg_ros.__version__
    assert setup_config()["metadata"]["version"] == "attr: robotseg_ros.__version__"


def test_the_manifest_and_the_pip_metadata_agree() -> None:
    metadata = setup_config()["metadata"]
    assert MANIFEST.findtext("name") == metadata["name"]
    assert MANIFEST.findtext("license") == metadata["license"]
    assert MANIFEST.find("maintainer").get("email") == metadata["maintainer_email"]  # type: ignore[union-attr]


def test_the_manifest_is_valid() -> None:
    catkin_pkg = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    package = catkin_pkg.parse_package(str(ROOT), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []


@pytest.mark.parametrize("name", imported_packages())
def test_every_imported_package_is_declared(name: str) -> None:
    requirement, key = PROVIDERS.get(name, (None, name))
    if requirement:
        assert requirement in pip_requirements(), f"{name} is imported: name {requirement} in setup.cfg"
    if key:
        assert key in manifest_keys(), f"{name} is imported: name its rosdep key, e.g. {key}, in package.xml"


def test_every_installed_requirement_is_pinned() -> None:
    pinned = requirement_names((ROOT / "requirements" / "constraints.txt").read_text())
    wheels = requirement_names((ROOT / "requirements" / "ros.txt").read_text())
    assert (pip_requirements() | wheels) - pinned == set(), "run `make pins`"


def test_the_bounds_hold_in_the_pins() -> None:
    specifiers = pytest.importorskip("packaging.specifiers")
    pins = (ROOT / "requirements" / "constraints.txt").read_text().lower().replace("_", "-")
    for line in (ROOT / "requirements" / "bounds.txt").read_text().splitlines():
        name, _, bound = line.split("#")[0].strip().replace("_", "-").partition(" ")
        if name:
            versions = re.findall(rf"^{re.escape(name.lower())}==([^ ;\n]+)", pins, re.MULTILINE)
            assert versions and all(v in specifiers.SpecifierSet(bound) for v in versions), f"{line}: {versions}"


def test_the_build_knows_nothing_of_the_wheels() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    assert not re.search(r"wheel|venv|site-packages|/opt/|IMPORTED_TARGETS", text)


def test_the_build_passes_arguments_that_ament_takes() -> None:
    """Of Humble to Kilted: anything else ends the configuration of a build with tests, which colcon makes by default."""
    (call,) = re.findall(r"ament_add_pytest_test\((.*)\)", (ROOT / "CMakeLists.txt").read_text())
    assert {word for word in call.split() if word.isupper()} <= {"TIMEOUT", "ENV", "PYTHON_EXECUTABLE"}


def test_the_status_message_says_what_was_agreed() -> None:
    assert fields(ROOT / "msg" / "SegmentationStatus.msg") == [
        "std_msgs/Header header",
        "string model",
        "string[] parts",
        "bool[] present",
        "float32[] object_score",
        "float32[] predicted_iou",
        "float32[] coverage",
        "uint64 frame",
        "uint64 received",
        "uint64 processed",
        "uint64 dropped",
        "uint64 rejected",
        "uint64 resets",
        "float32 latency_ms",
        "float32 age_ms",
        "string[] stage_names",
        "float32[] stage_ms",
    ]


def test_the_prompt_service_says_what_was_agreed() -> None:
    assert fields(ROOT / "srv" / "Prompt.srv") == [
        "string camera",
        "string part",
        "float32[] points_x",
        "float32[] points_y",
        "int32[] labels",
        "float32[] box",
        "sensor_msgs/Image mask",
        "builtin_interfaces/Time stamp",
        "---",
        "bool success",
        "string message",
    ]


@pytest.mark.ros
def test_the_built_messages_are_those_of_the_source() -> None:
    built = importlib.import_module("robotseg_ros.msg").SegmentationStatus.get_fields_and_field_types()
    names = [line.split()[1] for line in fields(ROOT / "msg" / "SegmentationStatus.msg")]
    assert list(built) == names


def test_every_module_is_installed() -> None:
    installed = Path(robotseg_ros.__file__).parent
    if installed == SOURCES:
        pytest.skip("these are the modules of the source tree; `make test` tests the installed ones")
    modules = {path.relative_to(SOURCES) for path in SOURCES.rglob("*.py")}
    assert {module for module in modules if not (installed / module).is_file()} == set()


@pytest.mark.parametrize(
    ("modules", "config"),
    [
        ("source", "source/config"),
        ("site-packages", "site-packages/robotseg_ros/config"),
        ("prefix/lib/python3.11/site-packages", "prefix/share/robotseg_ros/config"),
        ("prefix/local/lib/python3.10/dist-packages", "prefix/share/robotseg_ros/config"),
    ],
    ids=["source tree", "pip", "prefix", "prefix on Ubuntu"],
)
def test_the_config_folder_is_found_with_nothing_sourced(tmp_path: Path, modules: str, config: str) -> None:
    package = tmp_path / modules / "robotseg_ros"
    package.mkdir(parents=True)
    (tmp_path / config).mkdir(parents=True)
    if modules == "source":
        (tmp_path / modules / "package.xml").touch()
    shutil.copy(SOURCES / "resources.py", package)
    spec = importlib.util.spec_from_file_location("resources_copy", package / "resources.py")
    assert spec is not None and spec.loader is not None
    resources = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(resources)
    assert resources.config_dir() == tmp_path / config
    with pytest.raises(FileNotFoundError, match=re.escape("share/robotseg_ros/demo")):
        resources.demo_dir()


def test_the_fast_dds_profile_replaces_the_default_transports() -> None:
    profile = ElementTree.parse(ROOT / "config" / "fastdds.xml").getroot()
    space = "{" + profile.tag[1:].split("}")[0] + "}"
    descriptors = {d.findtext(f"{space}transport_id"): d for d in profile.iter(f"{space}transport_descriptor")}
    participant = next(profile.iter(f"{space}participant"))
    used = [element.text for element in participant.iterfind(f".//{space}userTransports/{space}transport_id")]
    assert participant.get("is_default_profile") == "true"
    assert participant.findtext(f".//{space}useBuiltinTransports") == "false"
    assert [descriptors[name].findtext(f"{space}type") for name in used] == ["SHM", "UDPv4"]
    # An uncompressed Full HD image has 6 MB and must fit.
    assert int(descriptors[used[0]].findtext(f"{space}segment_size") or 0) >= 2 * 1920 * 1080 * 3
