"""What a pool asks of a worker, and the simplest worker: a collector in this process."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.collector import Collector


@dataclasses.dataclass(frozen=True)
class Job:
    """One worker's share of a batch.

    Args:
      agent: the agent that acts.
      params: its parameters.
      tasks: one for each lifetime.
      keys: key data of each lifetime.
      rewards_only: leave observations and decisions out of the result.
    """

    agent: Agent
    params: PyTree
    tasks: Sequence
    keys: UInt32[np.ndarray, "lifetimes 2"]
    rewards_only: bool

    def of(self, rows: Sequence[int]) -> "Job":
        """The same for some of its lifetimes."""
        return dataclasses.replace(self, tasks=[self.tasks[row] for row in rows], keys=self.keys[list(rows)])


class Worker(Protocol):
    """One collector of a pool, wherever it runs."""

    def run(self, job: Job, report_steps: Callable[[int], None]) -> CollectedBatch:
        """Runs a share, and reports the number of environment steps taken so far.

        Raises:
          WorkerLostError: the worker died, or it sent nothing for too long.
        """

    def close(self, *, kill: bool = False) -> None:
        """Ends the worker; at once if `kill`."""


class WorkerLostError(Exception):
    """A worker died or hung; the message says how.

    `lifetime`: the number, within its share, of the lifetime whose environment was at work; None where that is not known.
    """

    def __init__(self, how: str, lifetime: int | None = None):
        super().__init__(how)
        self.lifetime = lifetime


class InProcessWorker:
    """A collector in this process. Nothing is sent, and nothing protects this process from its environments."""

    def __init__(self, distribution: HostDistribution, *, parallel_environments: int):
        self._report_steps: Callable[[int], None] = lambda steps: None
        self._collector = Collector(
            distribution,
            parallel_environments=parallel_environments,
            heartbeat=lambda steps: self._report_steps(steps),
        )
        self._collector.environments[0]  # so that what is missing is reported before training begins

    def run(self, job: Job, report_steps: Callable[[int], None]) -> CollectedBatch:
        """Runs a share."""
        self._report_steps = report_steps
        return self._collector.run(job.agent, job.params, job.tasks, job.keys, rewards_only=job.rewards_only)

    def close(self, *, kill: bool = False) -> None:
        """Closes the environments."""
        del kill
        self._collector.close()
