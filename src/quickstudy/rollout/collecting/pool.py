"""Workers that share the lifetimes of a batch: in this process, in processes of their own, or on other machines.

Every worker runs a share of each batch. One that dies or hangs is replaced. Its share runs once more under the same keys, so
the result does not change. A lifetime whose environment ends its worker twice is lost: its slots are masked, it is counted, and
the run goes on.
"""

import dataclasses
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.protocol.machine import usable_cores
from quickstudy.protocol.memory import check_memory
from quickstudy.rollout.collecting.batch import CollectedBatch, joined, lost_lifetimes, unmeasured, with_lost_lifetimes
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.process_worker import WorkerProcess
from quickstudy.rollout.collecting.ray_pool import RayPool
from quickstudy.rollout.collecting.worker import InProcessWorker, Job, Worker, WorkerLostError
from quickstudy.rollout.compiled import check_fit

_BYTES_OF_WORKER = 150e6
"""Of a worker process that has imported JAX, before it opens an environment."""
_TRIES = 2
"""Workers that a lifetime may end before it is lost."""
_MOST_REPLACED = 10
"""Replacements for one share of one batch, after which the rest of the share is lost."""


class WorkerPool:
    """Workers that run batches of lifetimes together; a context manager.

    Args:
      distribution: of the tasks.
      spawn: `() -> Worker`, starts a worker.
      workers: how many.
      in_this_thread: run the shares in the thread that calls `run`, so that Ctrl-C and debuggers reach the environments.
      on_close: called when all workers have ended.
    Attributes:
      replaced: workers that died or hung so far.
      lost: lifetimes lost so far.
      faults: exceptions that environments raised, as tracebacks, with their counts. Each is shown once, when it first comes.
      unmeasured: measures that were missing in a whole batch. Each is named once.
    """

    def __init__(
        self,
        distribution: HostDistribution,
        spawn: Callable[[], Worker],
        *,
        workers: int,
        in_this_thread: bool = False,
        on_close: Callable[[], None] = lambda: None,
    ):
        self.distribution, self._spawn, self._on_close = distribution, spawn, on_close
        self.replaced = self.lost = 0
        self.faults: dict[str, int] = {}
        self.unmeasured = set[str]()
        self._threads: Executor = _Here() if in_this_thread else ThreadPoolExecutor(workers)
        self._closed, self._steps_taken = False, [0] * workers
        starting = [self._threads.submit(spawn) for _ in range(workers)]
        try:
            wait(starting)
            self._workers: list[Worker] = [one.result() for one in starting]
        except BaseException:
            for one in starting:  # after an interrupt some may start later
                one.add_done_callback(_close_if_started)
            self._threads.shutdown(wait=False)
            on_close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def steps_taken(self) -> int:
        """Environment steps taken so far of the present batch."""
        return sum(self._steps_taken)

    def run(
        self, agent: Agent, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"], *, rewards_only: bool = False
    ) -> CollectedBatch:
        """One lifetime on each task.

        Args:
          agent: its spec must agree with the distribution's, except for the number of episodes.
          params: its parameters.
          tasks: leading axis `[lifetimes]`.
          keys: `[lifetimes]`, as `run_lifetime` takes them.
          rewards_only: leave out observations and decisions.
        Returns:
          The lifetimes in the order of the tasks, as NumPy arrays.
        Raises:
          SpecError: the agent was made for other tasks.
          CollectingError: all lifetimes were lost.
        """
        check_fit(agent, dataclasses.replace(self.distribution.spec, episodes=agent.spec.episodes))
        began = time.monotonic()
        key_data = np.asarray(jax.random.key_data(keys))
        params, tasks = jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, tasks)
        as_drawn = self.distribution.as_drawn
        task_list = [as_drawn(jax.tree.map(lambda leaf, row=row: leaf[row], tasks)) for row in range(len(key_data))]
        shares = [share for share in np.array_split(np.arange(len(key_data)), len(self._workers)) if share.size]
        jobs = [Job(agent, params, [task_list[row] for row in share], key_data[share], rewards_only) for share in shares]
        self._steps_taken = [0] * len(self._workers)
        running = [self._threads.submit(self._run_share, number, job) for number, job in enumerate(jobs)]
        wait(running)  # for all, before one of them raises
        results = [share.result() for share in running]
        healthy = [result for result in results if result is not None and not result.lost.all()]
        faults = sum((Counter(result.faults) for result in results if result is not None), Counter[str]())
        self._count_faults(faults)
        if not healthy:
            what = faults.most_common(1)[0][0] if faults else "every worker died, twice."
            raise CollectingError(f"all {len(key_data)} lifetimes were lost. What came up:\n{what}")
        parts = [
            lost_lifetimes(healthy[0], lifetimes=len(share)) if result is None or result.lost.all() else result
            for result, share in zip(results, shares, strict=True)
        ]
        whole = joined(parts)
        self.lost += int(whole.lost.sum())
        self._name_unmeasured(unmeasured(whole))
        whole.seconds["transfer"] = max(0.0, time.monotonic() - began - sum(whole.seconds.values()))
        return whole

    def close(self) -> None:
        """Ends all workers."""
        self._closed = True
        # All at once: each may take seconds. One alone is closed by the thread that made it, if it has to be.
        closing = [threading.Thread(target=worker.close) for worker in self._workers[1:]]
        for thread in closing:
            thread.start()
        for worker in self._workers[:1]:
            worker.close()
        for thread in closing:
            thread.join()
        self._threads.shutdown()
        self._on_close()

    def _run_share(self, number: int, job: Job) -> CollectedBatch | None:
        """The result of the worker of this number, or of its replacements; None if the whole share was lost."""
        left, losses = list(range(len(job.keys))), Counter[int | None]()
        while left and losses.total() < _MOST_REPLACED:
            try:
                result = self._workers[number].run(job.of(left), lambda steps: self._steps_taken.__setitem__(number, steps))
                return with_lost_lifetimes(result, left, lifetimes=len(job.keys))
            except WorkerLostError as loss:
                if self._closed:
                    raise  # nothing waits for the result
                self.replaced += 1
                sys.stderr.write(f"quickstudy: a worker was replaced: {loss}\n")
                self._workers[number].close(kill=True)
                self._workers[number] = self._spawn()
                cause = None if loss.lifetime is None else left[loss.lifetime]
                losses[cause] += 1
                if losses[cause] == _TRIES:
                    left = [] if cause is None else [row for row in left if row != cause]
        return None

    def _name_unmeasured(self, names: Sequence[str]) -> None:
        """Says once of each measure that it was missing in a whole batch."""
        for name in names:
            if name not in self.unmeasured:
                sys.stderr.write(
                    f"quickstudy: no environment gave the measure {name!r} in any step of a batch. It counts as nothing there. "
                    "Give it in the info of every step, or of the last step of an episode, which ends at the horizon at the "
                    "latest; or leave it out of `measures`.\n"
                )
                self.unmeasured.add(name)

    def _count_faults(self, faults: Mapping[str, int]) -> None:
        """Counts exceptions of environments, and shows each once."""
        for fault, count in faults.items():
            if fault not in self.faults:
                sys.stderr.write(f"quickstudy: an environment failed, and its lifetime is left out:\n{fault}")
            self.faults[fault] = self.faults.get(fault, 0) + count


def _close_if_started(starting: Future) -> None:
    if starting.exception() is None:
        starting.result().close()


class _Here(Executor):
    """Runs what is submitted at once, in the thread that submits it. An interrupt passes through."""

    def submit(self, call: Callable, /, *arguments: Any, **named: Any) -> Future:
        """The result or the error of the call."""
        future: Future = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def open_pool(distribution: HostDistribution, config: CollectingConfig = CollectingConfig()) -> WorkerPool:
    """The workers that a configuration asks for.

    Raises:
      MissingExtraError: Ray is asked for and not installed.
      UsageError: more worker processes than memory has room for, no Ray cluster answers, or there is no such interpreter.
      CollectingError: a worker does not start.
    """
    kind = config.collectors.partition(":")[0]
    if kind == "inline":
        return WorkerPool(
            distribution,
            lambda: InProcessWorker(distribution, parallel_environments=config.parallel_environments),
            workers=1,
            in_this_thread=True,
        )
    if kind == "processes":
        workers = config.workers or usable_cores()
        check_memory(
            workers * _BYTES_OF_WORKER,
            what=f"starting {workers:,} worker processes",
            remedy=f"Use fewer --workers; this process may run on {usable_cores()} cores.",
        )
        return WorkerPool(distribution, lambda: WorkerProcess(distribution, config), workers=workers)
    ray_pool = RayPool(distribution, config)
    return WorkerPool(distribution, ray_pool.spawn, workers=ray_pool.workers, on_close=ray_pool.close)
