"""The experiment `closed-loop`: many episodes of reaching under each condition, kept one by one, as a table and pictures."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..dataset.rendering.embodiments import names
from ..dataset.rendering.splits import SEEDS, SPLITS
from ..model import RobotSeg
from ..worker_process import end_with_parent
from .reaching import CONDITIONS, MOVES, REACHED, Episode, Shot, reach
from .reaching_world import SIZE, ReachingWorld
from .report import Outcome

EPISODES = 100
FIRST_SEED = SPLITS["seen"].first_seed + SEEDS // 2
"""Of the split with scenes that were not trained on, far from the seeds of its clips."""
_FILMED = 12  # of the first episodes a strip is kept
_SHOWN = 6  # pictures of a strip

Result = dict[str, Any]


def episodes(network: RobotSeg, folder: Path, count: int, processes: int = 1) -> list[Result]:
    """Results of the first `count` episodes, in order; those that `folder` holds are not repeated.

    `episodes.jsonl` has a line for each episode, after one that says what they were made with: where weights or settings
    are others now, it starts anew. `films` holds pictures of the first ones. Raises assets.MissingAssets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, made_with = folder / "episodes.jsonl", {"weights": fingerprint(network), **_settings()}
    done = _read(file, made_with)
    todo = [index for index in range(count) if index not in done]
    bar = tqdm(total=count, initial=count - len(todo), desc="closed-loop", unit="episode", mininterval=2)
    with bar, file.open("a") as lines:
        for result in _played(network, folder, todo, processes):
            done[result["index"]] = result
            lines.write(json.dumps(result) + "\n")
            lines.flush()
            bar.update()
    return [done[index] for index in range(count)]


def _read(file: Path, made_with: Result) -> dict[int, Result]:
    """Results by index of a file that was made so; else none, and the file is begun anew. A line cut short is dropped."""
    head, *results = list(_whole_lines(file.read_text() if file.exists() else "")) or [{}]
    results = results if head == made_with else []
    file.write_text("".join(json.dumps(line) + "\n" for line in [made_with, *results]))
    return {result["index"]: result for result in results}


def _whole_lines(text: str) -> Iterator[Result]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _settings() -> Result:
    return {"conditions": list(CONDITIONS), "moves": MOVES, "size": list(SIZE), "first_seed": FIRST_SEED}


def fingerprint(network: RobotSeg) -> str:
    """Hexadecimal digest of all weights, and of the tables that go with the input size."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*network.named_parameters(), *network.named_buffers()]):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _played(network: RobotSeg, folder: Path, todo: list[int], processes: int) -> Iterator[Result]:
    if processes == 1:
        yield from (play(network, folder, index) for index in todo)
        return
    os.environ["LP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(network,)) as pool:
        try:
            for future in as_completed([pool.submit(_play_here, folder, index) for index in todo]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_network: RobotSeg | None = None  # of a worker process


def _start_worker(network: RobotSeg) -> None:
    global _network
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _network = network


def _play_here(folder: Path, index: int) -> Result:
    assert _network is not None
    return play(_network, folder, index)


def play(network: RobotSeg, folder: Path, index: int) -> Result:
    """One episode under each condition, in the same world: the embodiments with one arm that were trained on take turns."""
    robots = names("train")
    robot, seed = robots[index % len(robots)], FIRST_SEED + index
    with _one_thread(), ReachingWorld(robot, seed) as world:
        played = {label: reach(world, condition, network) for label, condition in CONDITIONS.items()}
        facts = {"index": index, "seed": seed, "robot": robot, "wears_colour": world.wears_colour}
    if index < _FILMED:
        (folder / "films").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "films" / f"{index:02d}_{robot}.png"), film(played.values())[..., ::-1])
    return facts | {"conditions": {label: _figures(episode) for label, episode in played.items()}}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Episodes come out the same on any number of cores and processes, and processes do not contend for cores."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _figures(episode: Episode) -> Result:
    distances = [round(distance, 4) for distance in episode.distances]
    return {"distances": distances, "gripper": np.mean(episode.gripper), "robot": np.mean(episode.robot)}


def film(played: Iterable[Episode]) -> NDArray[np.uint8]:
    """A row of pictures for each episode, from its first image to its last."""
    rows = []
    for episode in played:
        chosen = np.linspace(0, len(episode.shots) - 1, _SHOWN).round().astype(int)
        rows.append(np.hstack([picture(episode.shots[index]) for index in chosen]))
    return np.vstack(rows)


def picture(shot: Shot) -> NDArray[np.uint8]:
    """The image with outlines of the robot (blue) and the hand (orange), a circle where the policy thinks the ball is and a
    cross where it thinks the hand is."""
    drawn = shot.image.copy()
    for mask, colour in ((shot.robot, (0, 120, 255)), (shot.hand_mask, (255, 160, 0))):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    if shot.ball is not None:
        cv2.circle(drawn, (round(shot.ball[0]), round(shot.ball[1])), 9, (255, 255, 255), 1)
    if shot.hand is not None:
        cv2.drawMarker(drawn, (round(shot.hand[0]), round(shot.hand[1])), (255, 0, 255), cv2.MARKER_CROSS, 10, 1)
    return drawn


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share, 95 % by default; (0, 1) where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def outcome(results: list[Result]) -> Outcome:
    """The table, and success with its interval as bars."""
    header = ["reached, percent", "all", "95 % interval", "robot in the target's colour", "in other colours"]
    header += ["end, median cm", "moves", "J gripper", "J robot"]
    rows = [[label, *_cells(results, label)] for label in CONDITIONS]

    def draw(axis: Any) -> None:
        shares = [_share(results, label) for label in CONDITIONS]
        ends = np.array([wilson(*_count(results, label)) for label in CONDITIONS]).T
        whiskers = 100 * np.abs(ends - shares)
        axis.bar(list(CONDITIONS), 100 * np.array(shares), yerr=whiskers, capsize=4, label="reached, 95 % interval")
        axis.set(ylabel="percent", ylim=(0, 100))
        axis.tick_params(axis="x", labelsize=7)

    title = f"Reaching a ball in {len(results)} rendered worlds, by what the policy is told of the robot"
    return Outcome(title, header, rows, draw=draw)


def _cells(results: list[Result], label: str) -> list[str]:
    low, high = wilson(*_count(results, label))
    worn = [result for result in results if result["wears_colour"]]
    other = [result for result in results if not result["wears_colour"]]
    mine = [result["conditions"][label] for result in results]
    ends, moves = [run["distances"][-1] for run in mine], [len(run["distances"]) - 1 for run in mine]
    quality = [
        "-" if label.startswith("no ") else f"{100 * np.mean([run[part] for run in mine]):.1f}" for part in _PARTS
    ]
    return [
        f"{100 * _share(results, label):.1f}",
        f"{100 * low:.1f} to {100 * high:.1f}",
        *(f"{successes} of {trials}" for successes, trials in (_count(worn, label), _count(other, label))),
        f"{100 * np.median(ends):.1f}",
        f"{np.mean(moves):.1f}",
        *quality,
    ]


_PARTS = ("gripper", "robot")


def _count(results: list[Result], label: str) -> tuple[int, int]:
    """How many episodes ended at the ball, and how many there were."""
    return sum(result["conditions"][label]["distances"][-1] < REACHED for result in results), len(results)


def _share(results: list[Result], label: str) -> float:
    successes, trials = _count(results, label)
    return successes / max(1, trials)


def plot_distances(results: list[Result], path: Path) -> None:
    """The mean distance from the ball after each move; an episode that has ended stays where it is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axis = figure.subplots()
    for label in CONDITIONS:
        runs = [result["conditions"][label]["distances"] for result in results]
        curves = [[*run, *[run[-1]] * (MOVES + 1 - len(run))] for run in runs]
        axis.plot(100 * np.mean(curves, axis=0), label=label)
    axis.axhline(100 * REACHED, color="0.6", linestyle=":", label="reached")
    axis.set(xlabel="move", ylabel="mean distance, cm", ylim=(0, None), xticks=range(0, MOVES + 1, 2))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
