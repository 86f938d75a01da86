"""Renders one clip, or folders full of them: images, true masks of arm, gripper and robot, and if wanted depth."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...worker_process import end_with_parent
from . import assets, motion, postprocess, stereo
from .painter import Painter
from .scene import Scene, build_scene

PARTS = ("arm", "gripper", "robot")
DEPTH_FOLDERS = ("depth", "depth_true")  # as a stereo camera sees it, and as it is
STOP_VARIABLE = "ROBOTSEG_RENDER_STOP"
_MOST_FAILURES = 10
_CLIPS_PER_PROCESS = 100


_THUMBNAIL = (64, 48)
_DRAWN = ("camera", "shadows")  # settings whose facts say what was drawn where the spec left it open


class BadSettings(ValueError):
    """Clips that cannot be rendered as asked for."""


@dataclass(frozen=True)
class ClipSpec:
    """All that decides a clip; equal specs give equal pixels. Sizes in pixels, `duration` in seconds.

    `camera` is one of motion.CAMERAS or None for a random one; `coverage` is the wanted share of robot pixels
    (None: random); `shadows` None means in 70 % of the clips; `calm` stages a tidy, well lit scene as for a
    demonstration. Splits (see splits.py) other than `train` use textures that training never sees. `depth` is for depth
    images, which change nothing else. `still` leaves one frame of the clip, of any moment: the first of a clip nearly
    always shows the robot whole and as large as wanted.
    """

    embodiment: str
    seed: int
    split: str = "train"
    width: int = 320
    height: int = 240
    frames: int = 10
    duration: float = 2.5
    supersample: int = 2
    camera: str | None = None
    coverage: float | None = None
    shadows: bool | None = None
    postprocess: bool = True
    calm: bool = False
    depth: bool = False
    still: bool = False

    def __post_init__(self) -> None:
        least = tuple(-(-side // self.supersample) for side in _THUMBNAIL)
        if self.width < least[0] or self.height < least[1]:
            raise BadSettings(f"clips of {self.width}x{self.height} are too small; the least is {least[0]}x{least[1]}")
        if self.frames < 1 or not 0 < self.duration < np.inf:
            raise BadSettings(f"a clip of {self.frames} frames in {self.duration} s; both must be more than 0")

    @property
    def name(self) -> str:
        """The clip's folder name."""
        return f"{self.embodiment}_{self.seed:07d}"

    @property
    def moments(self) -> list[int]:
        """The frames that are kept: all, or one."""
        if self.still:
            return [int(np.random.default_rng([self.seed, 7]).integers(self.frames))]
        return list(range(self.frames))


def _coverage(painter: Painter, kin: motion.Kinematics, path: Any, opening: Any, cam: motion.CameraPath) -> list[float]:
    """Share of robot pixels at the clip's start, middle and end, measured on thumbnails."""
    shares = []
    for index in (0, len(path) // 2, len(path) - 1):
        kin.set(path[index], opening[index])
        painter.pose(kin.data, cam.position[index], cam.quaternion[index], cam.fovy)
        shares.append(float((painter.parts(*_THUMBNAIL) > 0).mean()))
    return shares


def _target(
    kin: motion.Kinematics, rng: np.random.Generator, path: Any, opening: Any, calm: bool = False
) -> NDArray[np.float64]:
    """A point between the middle of the robot and its gripper, halfway through or (calm) on average."""
    points = []
    towards, offset = (0.5, np.zeros(3)) if calm else (rng.uniform(0, 1.0), rng.normal(0, 0.06, 3))
    for index in range(0, len(path), 6) if calm else [len(path) // 2]:
        kin.set(path[index], opening[index])
        centre = kin.data.geom_xpos[kin.arms].mean(0)
        points.append(centre + (kin.grip_point() - centre) * towards + offset)
    return np.mean(points, axis=0)


def _film(painter: Painter, kin: motion.Kinematics, spec: ClipSpec, path: Any, opening: Any) -> motion.CameraPath:
    """Finds a camera path that shows the wanted share of robot, by moving nearer or farther."""
    rng = np.random.default_rng([spec.seed, 3])
    kind = spec.camera or str(rng.choice(motion.CAMERAS, p=[0.32, 0.2, 0.16, 0.12, 0.13, 0.07]))
    room = painter.scene.room
    best, best_error = None, np.inf
    for _ in range(8):
        wanted = spec.coverage or 0.05 + 0.55 * rng.beta(1.3, 2.6)
        if kind == "wrist":
            cam = motion.wrist_path(kin, rng, path, opening)
            shares = _coverage(painter, kin, path, opening, cam)
            error = max(0.0, 0.04 - min(shares)) * 20 + max(0.0, max(shares) - 0.65)
        else:
            target = _target(kin, rng, path, opening, spec.calm)
            view = motion.random_view(rng, kind, target, spec.calm)
            for _ in range(3):
                seed = int(rng.integers(2**31))
                cam = motion.camera_path(view, np.random.default_rng(seed), len(path), spec.duration, room)
                shares = _coverage(painter, kin, path, opening, cam)
                share = max(shares) if kind == "away" else shares[1]
                view.distance = float(np.clip(view.distance * np.sqrt(max(share, 0.004) / wanted), 0.25, 4.0))
            error = abs(np.log(max(share, 1e-3) / wanted))
            if kind != "away":
                error += max(0.0, 0.02 - min(shares)) * 30 + max(0.0, max(shares) - 0.7) * 5
        if error < best_error:
            best, best_error = cam, error
        if best_error < 0.3:
            break
    assert best is not None
    return best


def _place_occluders(scene: Scene, spec: ClipSpec, cam: motion.CameraPath, target: NDArray[np.float64]) -> None:
    """Puts the scene's occluders between the camera and the robot, off the middle."""
    rng = np.random.default_rng([spec.seed, 4])
    eye = cam.position[len(cam.position) // 2]
    for body in scene.occluders:
        along = rng.uniform(0.5, 0.85)
        spread = np.linalg.norm(target - eye) * along * 0.35
        scene.model.body_pos[body] = eye + (target - eye) * along + rng.normal(0, spread, 3)
        scene.model.body_quat[body] = rng.normal(size=4)
        scene.model.body_quat[body] /= np.linalg.norm(scene.model.body_quat[body])


def _shrink(image: NDArray[np.uint8], parts: NDArray[np.uint8], factor: int) -> tuple[Any, Any]:
    """Averages the image and takes each pixel's most frequent label, from `factor` times the size."""
    if factor == 1:
        return np.ascontiguousarray(image), np.ascontiguousarray(parts)
    height, width = parts.shape[0] // factor, parts.shape[1] // factor
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    cells = parts.reshape(height, factor, width, factor)
    votes = np.stack([(cells == part).sum((1, 3)) for part in range(4)])
    robot = votes[1:].sum(0) * 2 >= factor * factor
    return image, np.where(robot, votes[1:].argmax(0) + 1, 0).astype(np.uint8)


class _Bystander:
    """A robot that goes about its own motion."""

    def __init__(self, kin: motion.Kinematics, spec: ClipSpec):
        self.kin = kin
        rng = np.random.default_rng([spec.seed, 5])
        self.path, self.opening = motion.joint_path(kin, rng, spec.frames, spec.duration)
        self.set(0)

    def set(self, index: int) -> None:
        """Moves it to frame `index`."""
        self.kin.set(self.path[index], self.opening[index])


class Stage:
    """A clip ready to be filmed: world, motion and camera path. Use it as a context manager."""

    def __init__(self, spec: ClipSpec):
        rng = np.random.default_rng([spec.seed, 2])
        self.spec = spec
        self.shadows = spec.shadows if spec.shadows is not None else bool(rng.uniform() < 0.7)
        self.side = (spec.width * spec.supersample, spec.height * spec.supersample)
        evaluation = spec.split != "train"
        self.scene = build_scene(spec.embodiment, spec.seed, evaluation, self.side, self.shadows, spec.calm)
        self.kin = motion.Kinematics(self.scene)
        self.path, self.opening = motion.joint_path(self.kin, rng, spec.frames, spec.duration, spec.calm)
        self.others = [
            _Bystander(motion.Kinematics(self.scene, robot, self.kin.data), spec) for robot in self.scene.robots[1:]
        ]
        self.look = postprocess.calm_look() if spec.calm else postprocess.random_look(rng)
        self.painter = Painter(self.scene)
        self.cam = _film(self.painter, self.kin, spec, self.path, self.opening)
        target = _target(self.kin, np.random.default_rng(spec.seed), self.path, self.opening)
        _place_occluders(self.scene, spec, self.cam, target)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.painter.close()

    def pose(self, index: int) -> None:
        """Moves robots and camera to frame `index`."""
        for other in self.others:
            other.set(index)
        self.kin.set(self.path[index], self.opening[index])
        self.painter.pose(self.kin.data, self.cam.position[index], self.cam.quaternion[index], self.cam.fovy)

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The image (H, W, 3) of frame `index`, before the camera's faults, and its part labels (H, W)."""
        self.pose(index)
        image, parts = self.painter.image(*self.side, self.shadows), self.painter.parts(*self.side)
        return _shrink(image, parts, self.spec.supersample)

    def depths(self, index: int) -> dict[str, NDArray[np.uint16]]:
        """Frame `index` in depth, by folder of `DEPTH_FOLDERS`: uint16 (H, W) in millimetres, 0 for nothing; call after
        `frame`."""
        true = self.painter.depth(self.spec.width, self.spec.height)
        seen = stereo.seen(true, self.cam.fovy, (self.spec.seed, 6, index))
        return dict(zip(DEPTH_FOLDERS, (seen, stereo.millimetres(true)), strict=True))


def render_clip(spec: ClipSpec) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, Any]]:
    """Renders a clip, without depth.

    Returns frames uint8 (T, H, W, 3), parts uint8 (T, H, W) with 0 background, 1 arm, 2 gripper, 3 robot of
    no known part, and a dictionary that says how it was filmed. Raises assets.MissingAssets without mujoco,
    assets or OpenGL.
    """
    return render_clip_with_depth(spec)[:3]


def render_clip_with_depth(
    spec: ClipSpec,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, Any], list[dict[str, NDArray[np.uint16]]]]:
    """What `render_clip` returns, and of each frame what `Stage.depths` returns, if the spec wants it."""
    frames, parts, depths = [], [], []
    with Stage(spec) as stage:
        look = stage.look
        for place, index in enumerate(spec.moments):
            image, labels = stage.frame(index)
            look = postprocess.expose(look, image) if place == 0 else look
            frames.append(postprocess.apply(look, image, index) if spec.postprocess else image)
            parts.append(labels)
            if spec.depth:
                depths.append(stage.depths(index))
    covered = [round(float((labels > 0).mean()), 4) for labels in parts]
    facts = asdict(spec) | {
        "name": spec.name,
        "camera": stage.cam.kind,
        "second_robot": stage.scene.robots[1].entry.name if len(stage.scene.robots) > 1 else None,
        "quality": look.quality,
        "coverage": covered,
    }
    return (
        np.stack(frames),
        np.stack(parts),
        facts | {"shadows": stage.shadows, "fovy": round(stage.cam.fovy, 1)},
        depths,
    )


def write_clip(
    out: Path, name: str, frames: Any, parts: Any, facts: dict[str, Any], depths: Sequence[dict[str, Any]] = ()
) -> None:
    """Writes `image/<name>/*.jpg`, `mask_gt/<name>/{000,001,002}/*.png`, `facts/<name>.json` below `out`, and where there
    are depth images, `<folder>/<name>/*.png` for each of `DEPTH_FOLDERS`.

    Everything goes to a temporary folder first: a clip is there wholly (its facts exist) or not at all. Raises OSError
    where an image cannot be written.
    """
    partial = out / f".partial-{name}"
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("image", *(f"mask/{part:03d}" for part in range(len(PARTS)))):
        (partial / folder).mkdir(parents=True)
    for index, (image, labels) in enumerate(zip(frames, parts, strict=True)):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(facts["quality"])]
        _write_image(partial / "image" / f"{index:05d}.jpg", image[..., ::-1], quality)
        for part, mask in enumerate((labels == 1, labels == 2, labels > 0)):
            path = partial / "mask" / f"{part:03d}" / f"{index:05d}.png"
            _write_image(path, mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    for index, by_folder in enumerate(depths):
        for folder, depth in by_folder.items():
            (partial / folder).mkdir(exist_ok=True)
            _write_image(partial / folder / f"{index:05d}.png", depth)
    for source, target in (("mask", "mask_gt"), *((folder, folder) for folder in DEPTH_FOLDERS), ("image", "image")):
        _move(partial / source, out / target / name)
    (out / "facts").mkdir(exist_ok=True)
    (partial / "facts.json").write_text(json.dumps(facts))
    (partial / "facts.json").rename(out / "facts" / f"{name}.json")
    partial.rmdir()


def _write_image(path: Path, image: NDArray[Any], options: Sequence[int] = ()) -> None:
    if not cv2.imwrite(str(path), image, options):  # it says no more
        raise OSError(f"{path}: cannot be written; is the disk full?")


def _move(source: Path, target: Path) -> None:
    """Puts a folder, if it is there, in the place of what is in `target`."""
    if source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        source.rename(target)


Job = tuple[str, ClipSpec]


def _start_worker() -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["LP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)


def _render_and_write(job: Job) -> dict[str, Any]:
    out, spec = job
    frames, parts, facts, depths = render_clip_with_depth(spec)
    write_clip(Path(out), spec.name, frames, parts, facts, depths)
    return facts


def plan(count: int, embodiments: Sequence[str], seed: int, **settings: Any) -> list[ClipSpec]:
    """Specs of `count` clips that go round the embodiments: every beginning of the list is balanced."""
    return [ClipSpec(embodiments[i % len(embodiments)], seed + i, **settings) for i in range(count)]


def _is_there(out: Path, spec: ClipSpec) -> bool:
    """Whether a clip has been rendered already. Raises BadSettings where that was done with other settings."""
    file = out / "facts" / f"{spec.name}.json"
    if not file.exists():
        return False
    defaults = {field.name: field.default for field in fields(ClipSpec)}  # of clips that are older than a setting
    facts = defaults | json.loads(file.read_text())
    asked = {name: value for name, value in asdict(spec).items() if not (name in _DRAWN and value is None)}
    del asked["coverage"]  # the facts have what came out
    for setting, wanted in asked.items():
        if facts[setting] != wanted:
            raise BadSettings(
                f"{out}: clip {spec.name} was rendered with {setting} {facts[setting]}, not {wanted}; "
                "name another folder, or delete this one"
            )
    return True


def _stop_wanted() -> bool:
    file = os.environ.get(STOP_VARIABLE)
    return bool(file) and Path(str(file)).exists()


def _results(todo: list[Job], workers: int) -> Iterator[dict[str, Any]]:
    """Facts of the clips as they are finished; stops handing out clips when the stop file exists.

    Processes are renewed from time to time, because drivers leak. Where one is killed (out of memory, a driver's fault),
    the clips that were under way are tried once more, each in a process of its own; a clip that fails again is named.
    """
    failures = 0
    for start in range(0, len(todo), workers * _CLIPS_PER_PROCESS):
        for job, outcome in _outcomes(todo[start : start + workers * _CLIPS_PER_PROCESS], workers):
            if isinstance(outcome, dict):
                yield outcome
                continue
            failures += 1
            tqdm.write(f"clip {job[1].name} failed: {outcome!r}")
            if isinstance(outcome, assets.MissingAssets) or failures > _MOST_FAILURES:
                raise outcome


def _outcomes(jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any] | Exception]]:
    """Each clip's facts, or what went wrong with it."""
    waiting = deque(jobs)
    while waiting and not _stop_wanted():
        cut_off = []
        for job, outcome in _in_processes(waiting, workers):
            if isinstance(outcome, BrokenProcessPool):
                cut_off.append(job)
            else:
                yield job, outcome
        for job in cut_off:
            yield from _in_processes(deque([job]), 1)


def _in_processes(waiting: deque[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any] | Exception]]:
    """Takes clips from `waiting` and renders them, until none is left or a process dies.

    Those that were under way when one died come out as a BrokenProcessPool; the others keep waiting.
    """
    os.environ["LP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(waiting)), context, initializer=_start_worker) as pool:
        running: dict[Future[dict[str, Any]], Job] = {}
        broken = False
        while True:
            while waiting and len(running) <= workers and not broken and not _stop_wanted():
                try:
                    running[pool.submit(_render_and_write, waiting[0])] = waiting[0]
                except BrokenProcessPool:
                    broken = True
                else:
                    waiting.popleft()
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                fault = done.exception()
                assert fault is None or isinstance(fault, Exception)
                broken = broken or isinstance(fault, BrokenProcessPool)
                yield running.pop(done), done.result() if fault is None else fault


def contact_sheet(out: Path, rows: int = 8, columns: int = 8, outlines: bool = True) -> Path:
    """Writes `contact.png`: a frame of each clip, outlined: robot blue, arm red, gripper green."""
    clips = sorted((out / "facts").glob("*.json"), key=lambda path: path.stem[-7:])[: rows * columns]
    tiles = []
    for facts in clips:
        frames = sorted((out / "image" / facts.stem).glob("*.jpg"))
        frame = frames[len(frames) // 2]
        image = cv2.imread(str(frame))
        for part, colour in ((2, (255, 120, 0)), (0, (0, 0, 255)), (1, (0, 255, 0))) if outlines else ():
            mask = cv2.imread(str(out / "mask_gt" / facts.stem / f"{part:03d}" / f"{frame.stem}.png"), 0)
            found, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, found, -1, colour, 1)
        tiles.append(cv2.resize(image, (240, 180), interpolation=cv2.INTER_AREA))
    while len(tiles) % columns:
        tiles.append(np.zeros((180, 240, 3), np.uint8))
    sheet = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    cv2.imwrite(str(out / "contact.png"), np.vstack(sheet))
    return out / "contact.png"


def write_manifest(out: Path) -> Path:
    """Gathers all finished clips' facts in `clips.json`."""
    facts = [json.loads(path.read_text()) for path in sorted((out / "facts").glob("*.json"))]
    partial = out / "clips.json.partial"
    partial.write_text(json.dumps(sorted(facts, key=lambda fact: fact["seed"]), indent=0))
    partial.replace(out / "clips.json")
    return out / "clips.json"


def render_clips(
    out: Path | str,
    count: int,
    embodiments: Sequence[str],
    seed: int = 0,
    workers: int | None = None,
    **settings: Any,
) -> int:
    """Renders `count` clips into `out`, skipping those already there; returns how many are there in the end.

    `settings` are fields of ClipSpec (split, width, height, frames, ...). Ctrl-C, or the file named by the
    environment variable ROBOTSEG_RENDER_STOP, ends the run cleanly; calling again goes on. A clip that
    fails is named and left out; raises the error when more than ten fail, MissingAssets at once, BadSettings
    before anything is rendered.
    """
    out, specs = Path(out), plan(count, embodiments, seed, **settings)
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    todo = [(str(out), spec) for spec in specs if not _is_there(out, spec)]
    bar = tqdm(total=count, initial=count - len(todo), unit="clip", desc=f"render {out.name}", mininterval=5)
    try:
        for done, _ in enumerate(_results(todo, workers or os.cpu_count() or 1), 1):
            bar.update()
            if done % 100 == 0:
                write_manifest(out)
    except KeyboardInterrupt:
        bar.write("stopped; the finished clips are complete, call again to go on")
    bar.close()
    if (out / "facts").is_dir() and any((out / "facts").iterdir()):
        write_manifest(out)
        contact_sheet(out)
    return sum((out / "facts" / f"{spec.name}.json").exists() for spec in specs)
