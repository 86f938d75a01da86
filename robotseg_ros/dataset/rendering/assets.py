"""Turns the asset packs' MJCF files into one light MuJoCo spec per robot, gripper attached."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np

from .embodiments import Embodiment, Gripper

FACES_PER_ROBOT = 20_000
VISUAL_GROUP = 1
_VERSION = 3
_STRIPPED = (
    "actuator",
    "sensor",
    "tendon",
    "equality",
    "contact",
    "keyframe",
    "option",
    "visual",
    "size",
    "compiler",
)
_EXTRA = (
    "install the rendering extra: pip install 'robotseg_ros[render]', "
    "and the asset packs: pip install --no-deps robosuite==1.5.2 robosuite_models==1.0.0"
)


class MissingAssets(RuntimeError):
    """A package or file that rendering needs is not installed."""


def import_mujoco() -> ModuleType:
    """Imports MuJoCo, headless (EGL unless MUJOCO_GL says otherwise); raises MissingAssets if absent."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise MissingAssets(f"rendering needs the package mujoco ({error}); {_EXTRA}") from error


def asset_root(package: str) -> Path:
    """Folder of an asset pack's files; the package is located, never imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingAssets(f"rendering needs the asset pack {package}; {_EXTRA}")
    locations = [Path(place) for place in found.submodule_search_locations]
    for folder in (locations[0] / "models" / "assets", locations[0] / "assets"):
        if folder.is_dir():
            return folder
    raise MissingAssets(f"no assets folder below {locations[0]}; {_EXTRA}")


def cache_folder() -> Path:
    """Where decimated meshes are kept: $ROBOTSEG_CACHE, else ~/.cache/robotseg_ros."""
    folder = os.environ.get("ROBOTSEG_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "robotseg_ros"


def _resolve_files(root: ElementTree.Element, path: Path) -> None:
    """Makes file references absolute and drops assets whose name repeats with a missing file."""
    for asset in root.iter("asset"):
        seen: set[str] = set()
        for element in list(asset):
            file = element.get("file")
            if file is not None:
                absolute = (path.parent / file).resolve()
                if not absolute.exists():
                    asset.remove(element)
                    continue
                element.set("file", str(absolute))
            key = f"{element.tag}:{element.get('name')}"
            if key in seen:
                asset.remove(element)
            seen.add(key)


def clean_xml(path: Path) -> str:
    """MJCF text of a robot or gripper file without dynamics, with absolute paths and plain options."""
    root = ElementTree.parse(path).getroot()
    for element in [child for child in root if child.tag in _STRIPPED]:
        root.remove(element)
    for default in root.iter("default"):
        default.attrib.pop("group", None)
        for element in [
            child for child in default if child.tag not in ("default", "geom", "joint", "mesh", "material")
        ]:
            default.remove(element)
    for body in list(root.iter("body")) + list(root.iter("worldbody")):
        for element in [child for child in body if child.tag in ("inertial", "camera", "light")]:
            body.remove(element)
    _resolve_files(root, path)
    compiler = ElementTree.Element(
        "compiler", angle="radian", autolimits="true", boundmass="0.01", boundinertia="0.001"
    )
    root.insert(0, compiler)
    return ElementTree.tostring(root, encoding="unicode")


def _visual_spec(path: Path) -> Any:
    """Spec of one MJCF file with its visual geoms and the meshes they use, nothing else."""
    mujoco = import_mujoco()
    spec = mujoco.MjSpec.from_string(clean_xml(path))
    used = set()
    for geom in list(spec.geoms):
        if geom.group != VISUAL_GROUP:
            spec.delete(geom)
            continue
        geom.contype = geom.conaffinity = 0
        geom.mass = 0.01
        if geom.meshname:
            used.add(geom.meshname)
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
        else:
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    for joint in [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]:
        spec.delete(joint)
    for site in [site for site in spec.sites if site.name != "grip_site"]:
        spec.delete(site)
    return spec


def _decimated(path: Path, goal: int) -> Path:
    """The cached mesh with about `goal` faces, made at the first call."""
    key = hashlib.sha1(f"{_VERSION}:{path}:{path.stat().st_size}:{goal}".encode()).hexdigest()[:16]
    target = cache_folder() / "meshes" / f"{path.stem}-{key}.obj"
    if target.exists():
        return target
    import fast_simplification
    import trimesh

    mesh: Any = trimesh.load(path, force="mesh")
    extent = float(mesh.extents.max())
    points, faces = mesh.vertices, mesh.faces
    for grid in (extent / 20_000, extent / 200):
        # Seams between almost equal vertices stop the simplification: weld finely, if that fails coarsely.
        welded = trimesh.Trimesh(np.round(mesh.vertices / grid) * grid, mesh.faces, process=False)
        welded.merge_vertices(merge_tex=True, merge_norm=True)
        welded.update_faces(welded.nondegenerate_faces() & welded.unique_faces())
        reduction = float(np.clip(1 - goal / max(1, len(welded.faces)), 0.0, 0.98))
        points, faces = fast_simplification.simplify(welded.vertices.astype("float32"), welded.faces, reduction)
        if len(faces) < 1.5 * goal:
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.stem}.{os.getpid()}.obj")
    trimesh.Trimesh(points, faces, process=False).export(partial, include_normals=False)
    partial.replace(target)
    return target


@lru_cache(maxsize=4096)
def _face_count(path: Path) -> int:
    import trimesh

    mesh: Any = trimesh.load(path, force="mesh", process=False)
    return len(mesh.faces)


@cache
def _light_meshes(paths: tuple[Path, ...], faces: int) -> dict[Path, Path]:
    """For each mesh file the decimated file to use so that all together have about `faces` faces."""
    index = cache_folder() / "budgets"
    key = hashlib.sha1(repr((_VERSION, paths, faces)).encode()).hexdigest()[:16]
    known = index / key
    if known.exists():
        chosen = [Path(line) for line in known.read_text().splitlines()]
        if all(path.exists() for path in chosen):
            return dict(zip(paths, chosen, strict=True))
    counts = {path: _face_count(path) for path in paths}
    # Shares by square root: small links keep their shape, large ones give up more.
    scale = faces / sum(count**0.5 for count in counts.values())
    goals = {path: max(150, int(scale * count**0.5)) for path, count in counts.items()}
    chosen = [path if counts[path] <= 1.2 * goals[path] else _decimated(path, goals[path]) for path in paths]
    index.mkdir(parents=True, exist_ok=True)
    partial = index / f"{key}.{os.getpid()}"
    partial.write_text("\n".join(str(path) for path in chosen))
    partial.replace(known)
    return dict(zip(paths, chosen, strict=True))


def _file(gripper: Gripper) -> Path:
    return asset_root(gripper.package) / "grippers" / f"{gripper.name}.xml"


def robot_spec(entry: Embodiment, faces: int = FACES_PER_ROBOT) -> Any:
    """MjSpec of a whole robot, gripper attached; its bodies are named `g<i>/...` below gripper i.

    Raises MissingAssets when mujoco or an asset pack is not installed.
    """
    spec = _visual_spec(asset_root(entry.package) / "robots" / entry.name / "robot.xml")
    for index, gripper in enumerate(entry.grippers):
        frame = spec.body(gripper.body).add_frame()
        spec.attach(_visual_spec(_file(gripper)), prefix=f"g{index}/", frame=frame)
    lighter = _light_meshes(tuple(sorted({Path(mesh.file) for mesh in spec.meshes})), faces)
    for mesh in spec.meshes:
        mesh.file = str(lighter[Path(mesh.file)])
    return spec


ARM, GRIPPER, ROBOT = 1, 2, 3


def body_part(name: str, ancestors: list[str], entry: Embodiment) -> int:
    """Label (1 arm, 2 gripper, 3 robot of no known part) of a body, from its name and its ancestors'."""
    chain = [name, *ancestors]
    if any(link.startswith(f"g{index}/") for link in chain for index in range(len(entry.grippers))):
        return GRIPPER
    if not entry.arm_roots or any(link in entry.arm_roots for link in chain):
        return ARM
    return ROBOT
