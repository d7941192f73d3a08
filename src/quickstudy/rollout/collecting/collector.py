"""Many lifetimes side by side in one process: environments stepped one after another, one call for all decisions."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.environments import Environments
from quickstudy.rollout.collecting.parallel_lifetimes import ParallelLifetimes
from quickstudy.rollout.collecting.session_programs import SessionPrograms

_PROGRAMS_KEPT = 4
"""Agents whose compiled programs stay in memory."""


class Collector:
    """Runs lifetimes in this process.

    Args:
      distribution: whose environments are opened here.
      parallel_environments: most lifetimes side by side, each with an environment of its own. The more there are, the less
        time a decision takes.
      mark_current: called with the number of a lifetime before its environment runs, and with -1 when no environment runs any
        more. So another process can tell which lifetime killed this process.
      heartbeat: called with the number of steps taken, after every step of all environments and whenever a lifetime began.
    """

    def __init__(
        self,
        distribution: HostDistribution,
        *,
        parallel_environments: int,
        mark_current: Callable[[int], None] = lambda lifetime: None,
        heartbeat: Callable[[int], None] = lambda steps: None,
    ):
        self.distribution, self.parallel_environments = distribution, parallel_environments
        self.mark_current, self.heartbeat = mark_current, heartbeat
        self.environments = Environments(distribution.open)
        self._programs: dict[int, SessionPrograms] = {}

    def run(
        self,
        agent: Agent,
        params: PyTree,
        tasks: Sequence,
        keys: UInt32[np.ndarray, "lifetimes 2"],
        *,
        rewards_only: bool = False,
    ) -> CollectedBatch:
        """One lifetime on each task.

        Args:
          agent: the agent that acts.
          params: its parameters.
          tasks: one for each lifetime.
          keys: key data of each lifetime, as `run_lifetime` takes them.
          rewards_only: keep rewards and measures, and drop observations and decisions.
        """
        lifetimes = ParallelLifetimes(
            self.environments,
            self._compiled(agent),
            tasks,
            np.asarray(keys),
            parallel=self.parallel_environments,
            measures=tuple(self.distribution.measures),
            rewards_only=rewards_only,
            mark_current=self.mark_current,
            heartbeat=self.heartbeat,
        )
        return lifetimes.run(jax.tree.leaves(jax.device_put(params)))

    def close(self) -> None:
        """Closes all environments."""
        self.environments.close()

    def _compiled(self, agent: Agent) -> SessionPrograms:
        if id(agent) not in self._programs:
            self._programs = dict(list(self._programs.items())[1 - _PROGRAMS_KEPT :])
            self._programs[id(agent)] = SessionPrograms(agent)  # which holds the agent, so that no other gets its id
        return self._programs[id(agent)]
