"""Labelling on Ray: an actor per GPU (or per worker on CPUs), work handed out clip by clip.

A worker that dies is replaced and its clip given to another; a clip that kills workers again and again is given up and
named.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from .work import Failure, Labeller, Labelling, Work, reason

MOST_DEATHS = 3  # of workers over one clip
MOST_STARTS = 3


class RayPool:
    """Actors that label. Raises ImportError where ray is not installed."""

    def __init__(self, labelling: Labelling, workers: int | None, address: str | None, device: str):
        """workers: None is one per GPU of the cluster, or one where there is none. address: of a cluster; None starts Ray
        on this machine."""
        import ray

        self._ray = ray
        if not ray.is_initialized():
            _begin(ray, address)
        gpus = int(ray.cluster_resources().get("GPU", 0)) if device in ("auto", "cuda") else 0
        self.workers = workers or max(1, gpus)
        # Ray shows each actor its own GPU as the only one.
        self._options = {"num_gpus": min(1.0, gpus / self.workers)} if gpus else {"num_cpus": 1}
        self._actor = ray.remote(max_restarts=0)(Labeller)
        self._start = lambda: self._actor.options(**self._options).remote(labelling, device)

    def label(self, works: Sequence[Work], on_done: Callable[[Work], None]) -> list[Failure]:
        """Labels the clips; `on_done` after each. Returns those that failed."""
        ray = self._ray
        waiting, deaths, failures = deque(works), Counter[str](), list[Failure]()
        idle: list[Any] = [self._start() for _ in range(min(self.workers, len(works)))]
        running: dict[Any, tuple[Any, Work]] = {}
        while waiting or running:
            while waiting and idle:
                actor, work = idle.pop(), waiting.popleft()
                running[actor.label.remote(work)] = (actor, work)
            (done,), _ = ray.wait(list(running), num_returns=1)
            actor, work = running.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayActorError as error:
                deaths[work.name] += 1
                idle.append(self._start())
                if deaths[work.name] < MOST_DEATHS:
                    waiting.append(work)
                    continue
                failures.append((work, f"{deaths[work.name]} workers died over it, the last one: {error}"))
            except ray.exceptions.RayTaskError as error:
                idle.append(actor)
                if isinstance(error.cause, OSError):  # a full disk is no fault of the clip
                    raise error.as_instanceof_cause() from None
                failures.append((work, reason(error.cause or error)))
            else:
                idle.append(actor)
            on_done(work)
        return failures

    def close(self) -> None:
        """Ends the actors, and Ray where it was started here."""
        self._ray.shutdown()


def _begin(ray: Any, address: str | None) -> None:
    """Starts Ray. On a busy machine its own patience (30 s, fixed) may not do."""
    for number in range(MOST_STARTS):
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
            return
        except Exception as error:
            if "timed out during startup" not in str(error) or number == MOST_STARTS - 1:
                raise
            ray.shutdown()
