"""Collectors that share the lifetimes of a batch: in this process, in worker processes, or elsewhere.

Every member lives a share of each batch. One that dies or hangs is replaced, and its share is lived once more by its
replacement, under the same keys, so that nothing is different afterwards. A lifetime in whose environment that happens again is
lost: its slots are masked, the others are lived without it, the run goes on, and counts it.
"""

import dataclasses
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError, UsageError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch, in_their_places, joined, nothing_lived
from quickstudy.rollout.collecting.collector import Collector
from quickstudy.rollout.compiled import check_fit

_TRIES = 2
_MOST_REPLACED = 10
"""Replacements for one share of one batch, after which what is left of it is lost."""
_KINDS = re.compile(r"inline|processes|ray(:auto|:(//)?[^/\s]+:\d+)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectingConfig:
    """Where lifetimes in environments outside JAX are lived; tasks written in JAX need none of it."""

    collectors: str = "processes"
    """`inline` (in this process), `processes`, or on the machines of a Ray cluster: `ray` (the one at RAY_ADDRESS; if that is
    not set, the one that was started on this machine; if there is none, one that is started for this run), `ray:HOST:PORT` or
    `ray:auto` (from a machine of the cluster), `ray://HOST:PORT` (from any other, through the Ray client)."""
    workers: int = 0
    """Collectors; 0 is one for each core of this machine, or of the Ray cluster."""
    lanes: int = 64
    """Lifetimes side by side in a collector, each with an environment of its own."""
    worker_python: str = ""
    """A Python interpreter for worker processes, where the environments need packages that this one cannot have."""
    patience_seconds: float = 120.0
    """A collector from which nothing is heard for so long is replaced."""

    def __post_init__(self) -> None:
        if not _KINDS.fullmatch(self.collectors):
            raise UsageError(
                "collectors must be inline, processes, ray, ray:auto, ray:HOST:PORT or ray://HOST:PORT; "
                f"came {self.collectors!r}."
            )
        if self.worker_python and self.collectors != "processes":
            raise UsageError(f"worker_python is for worker processes; came {self.worker_python!r} with {self.collectors!r}.")
        for name, least in (("workers", 0), ("lanes", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more; came {getattr(self, name)}.")
        if self.patience_seconds <= 0:
            raise UsageError(f"patience_seconds must be above zero; came {self.patience_seconds}.")


@dataclasses.dataclass(frozen=True)
class Job:
    """A share of a batch."""

    agent: Agent
    params: PyTree
    tasks: Sequence
    keys: np.ndarray
    rewards_only: bool

    def of(self, rows: Sequence[int]) -> "Job":
        """A part of it."""
        return dataclasses.replace(self, tasks=[self.tasks[row] for row in rows], keys=self.keys[list(rows)])


@runtime_checkable
class Worker(Protocol):
    """One collector of a team."""

    def run(self, job: Job, tell: Callable[[int], None]) -> CollectedBatch:
        """Lives a share, and tells of its steps under way.

        Raises:
          MemberLostError: it died, or nothing was heard of it for too long.
        """

    def close(self, *, kill: bool = False) -> None:
        """Ends it; at once where `kill` is said."""


class WorkerLostError(Exception):
    """A collector died or hung; the message says how.

    `lifetime`: the number, within its share, of that whose environment it happened in; None where nobody knows.
    """

    def __init__(self, how: str, lifetime: int | None = None):
        super().__init__(how)
        self.lifetime = lifetime


class WorkerPool:
    """Collectors that live batches of lifetimes together; a context manager.

    Args:
      hire: `() -> Member`, a new collector.
      members: how many.
      farewell: called when all collectors have ended.
    The attribute `replaced` counts collectors that had to be, `lost` lifetimes that no second try could save, `faults` the
    exceptions that environments raised, by their tracebacks; each is shown once, when it first comes.
    """

    def __init__(
        self,
        distribution: HostDistribution,
        spawn: Callable[[], Worker],
        *,
        workers: int,
        on_close: Callable[[], None] = lambda: None,
    ):
        self.distribution, self._spawn, self._on_close = distribution, spawn, on_close
        self.replaced = self.lost = 0
        self.faults: dict[str, int] = {}
        self._threads, self._closed, self._under_way = ThreadPoolExecutor(workers), False, [0] * workers
        self._workers: list[Worker] = []
        hired = [self._threads.submit(spawn) for _ in range(workers)]
        try:
            wait(hired)
            self._workers += [one.result() for one in hired if one.exception() is None]
            for one in hired:
                one.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def under_way(self) -> int:
        """Steps taken so far of the batch in hand."""
        return sum(self._under_way)

    def run(
        self, agent: Agent, params: PyTree, tasks: PyTree, keys: PRNGKeyArray, *, rewards_only: bool = False
    ) -> CollectedBatch:
        """One lifetime on each task.

        Args:
          agent: who lives; its spec must agree with the distribution's, but for the number of episodes.
          params: of the agent.
          tasks: leading axis `[lifetimes]`.
          keys: `[lifetimes]`; each lifetime's randomness, as in `interact.live`.
          rewards_only: leave out what was seen and decided.
        Returns:
          The lifetimes in the order of the tasks, as NumPy arrays.
        Raises:
          SpecError: the agent was made for other tasks.
          CollectingError: not one lifetime could be lived.
        """
        check_fit(agent, dataclasses.replace(self.distribution.spec, episodes=agent.spec.episodes))
        began = time.monotonic()
        numbers = np.asarray(jax.random.key_data(keys))
        params, tasks = jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, tasks)
        apart = [jax.tree.map(lambda leaf, row=row: leaf[row], tasks) for row in range(len(numbers))]
        shares = [share for share in np.array_split(np.arange(len(numbers)), len(self._workers)) if share.size]
        jobs = [Job(agent, params, [apart[row] for row in share], numbers[share], rewards_only) for share in shares]
        self._under_way = [0] * len(self._workers)
        under_way = [self._threads.submit(self._tried, number, job) for number, job in enumerate(jobs)]
        wait(under_way)  # for all, before one of them raises
        tried = [share.result() for share in under_way]
        healthy = [lived for lived in tried if lived is not None and not lived.lost.all()]
        faults = sum((Counter(lived.faults) for lived in tried if lived is not None), Counter[str]())
        self._take_stock(faults)
        if not healthy:
            what = faults.most_common(1)[0][0] if faults else "every collector died, twice."
            raise CollectingError(f"not one of {len(numbers)} lifetimes could be lived. What came up:\n{what}")
        parts = [
            nothing_lived(healthy[0], lifetimes=len(share)) if lived is None or lived.lost.all() else lived
            for lived, share in zip(tried, shares, strict=True)
        ]
        lived = joined(parts)
        self.lost += int(lived.lost.sum())
        lived.seconds["transfer"] = max(0.0, time.monotonic() - began - sum(lived.seconds.values()))
        return lived

    def close(self) -> None:
        """Ends all collectors."""
        self._closed = True
        for member in self._workers:
            member.close()
        self._threads.shutdown()
        self._on_close()

    def _tried(self, number: int, job: Job) -> CollectedBatch | None:
        """A share as it was lived, by the member of this number or by its replacements; None where all of it was lost."""
        left, losses = list(range(len(job.keys))), Counter[int | None]()
        while left and losses.total() < _MOST_REPLACED:
            try:
                lived = self._workers[number].run(job.of(left), lambda steps: self._under_way.__setitem__(number, steps))
                return in_their_places(lived, left, lifetimes=len(job.keys))
            except WorkerLostError as loss:
                if self._closed:
                    raise  # nobody waits for it any more
                self.replaced += 1
                sys.stderr.write(f"quickstudy: a collector was replaced: {loss}\n")
                self._workers[number].close(kill=True)
                self._workers[number] = self._spawn()
                held = None if loss.lifetime is None else left[loss.lifetime]
                losses[held] += 1
                if losses[held] == _TRIES:
                    left = [] if held is None else [row for row in left if row != held]
        return None

    def _take_stock(self, faults: Mapping[str, int]) -> None:
        """Counts what environments raised, and shows each exception once."""
        for fault, count in faults.items():
            if fault not in self.faults:
                sys.stderr.write(f"quickstudy: an environment failed, and its lifetime is left out:\n{fault}")
            self.faults[fault] = self.faults.get(fault, 0) + count


class InProcessWorker:
    """A collector in this process: nothing is passed on, and nothing protects this process from its environments."""

    def __init__(self, distribution: HostDistribution, *, lanes: int):
        self._tell: Callable[[int], None] = lambda steps: None
        self._collector = Collector(distribution, lanes=lanes, heartbeat=lambda steps: self._tell(steps))
        self._collector.environment(0)  # what is missing is said now, and not when half is done

    def run(self, job: Job, tell: Callable[[int], None]) -> CollectedBatch:
        """Lives a share."""
        self._tell = tell
        return self._collector.run(job.agent, job.params, job.tasks, job.keys, rewards_only=job.rewards_only)

    def close(self, *, kill: bool = False) -> None:
        """Closes the environments."""
        del kill
        self._collector.close()


def open_pool(distribution: HostDistribution, config: CollectingConfig = CollectingConfig()) -> WorkerPool:
    """The collectors that a configuration asks for.

    Raises:
      MissingExtraError: Ray is asked for and not installed.
      UsageError: no Ray cluster answers, or there is no such interpreter.
      CollectingError: a collector does not come up.
    """
    kind = config.collectors.partition(":")[0]
    workers = config.workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else config.workers or 1
    if kind == "inline":
        return WorkerPool(distribution, lambda: InProcessWorker(distribution, lanes=config.lanes), workers=1)
    if kind == "processes":
        from quickstudy.rollout.collecting.process_worker import WorkerProcess

        return WorkerPool(distribution, lambda: WorkerProcess(distribution, config), workers=workers)
    from quickstudy.rollout.collecting.ray_pool import RayPool

    crew = RayPool(distribution, config)
    return WorkerPool(distribution, crew.spawn, workers=crew.workers, on_close=crew.close)
