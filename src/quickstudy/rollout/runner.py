"""One way to live on tasks of either kind, for everybody who only wants to know what an agent earned."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Self

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, memory_bytes
from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.collecting.pool import CollectingConfig, WorkerPool, open_pool
from quickstudy.rollout.compiled import run_lifetime

_BLOCK_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutRewards:
    """What came of many lifetimes: rewards `[tasks, T]`, which slots happened, and what was measured beside, by name."""

    reward: Float[np.ndarray, "tasks T"]
    valid: Bool[np.ndarray, "tasks T"]
    measures: dict[str, Float[np.ndarray, "tasks T"]]


class Runner:
    """A place to live: compiled programs for tasks written in JAX, collectors for all others. A context manager.

    Args:
      distribution: of the tasks, of either kind.
      collecting: where lifetimes of host distributions are lived; collectors start when they are first needed.
    """

    def __init__(self, distribution: AnyDistribution, collecting: CollectingConfig = CollectingConfig()):
        self.distribution, self._collecting = distribution, collecting
        self._pool: WorkerPool | None = None
        self._homes = {distribution.spec.episodes: distribution} if isinstance(distribution, TaskDistribution) else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def run(self, agent: Agent, params: PyTree, tasks: PyTree, keys: PRNGKeyArray) -> RolloutRewards:
        """One lifetime on each task `[tasks]`, each with its key.

        The agent's lifetimes may hold another number of episodes than the distribution's.
        """
        if isinstance(self.distribution, HostDistribution):
            if self._pool is None:
                self._pool = open_pool(self.distribution, self._collecting)
            lived = self._pool.run(agent, params, tasks, keys, rewards_only=True)
            if lived.lost.any():
                raise CollectingError(
                    f"{lived.lost.sum()} of {len(lived.lost)} lifetimes were lost, twice each. A measurement cannot leave them "
                    "out: mend the environment first (`quickstudy check` says what is wrong with it)."
                )
            return RolloutRewards(
                reward=lived.reward.T, valid=lived.valid.T, measures={name: x.T for name, x in lived.measures.items()}
            )
        reward, valid = run_on_tasks(agent, self._home(agent.spec.episodes), params, tasks, keys)
        return RolloutRewards(reward=reward, valid=valid, measures={})

    def _home(self, episodes: int) -> TaskDistribution:
        """The same tasks with lifetimes of so many episodes; one object for each, which compiled programs are found by."""
        assert isinstance(self.distribution, TaskDistribution)
        if episodes not in self._homes:
            spec = dataclasses.replace(self.distribution.spec, episodes=episodes)
            self._homes[episodes] = dataclasses.replace(self.distribution, spec=spec)
        return self._homes[episodes]


class _ByIdentity:
    """Agents and distributions hold functions and spaces, which do not hash; as themselves they do."""

    def __init__(self, agent: Agent, distribution: TaskDistribution):
        self.agent, self.distribution = agent, distribution

    def __hash__(self) -> int:
        return hash((id(self.agent), id(self.distribution)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.agent is other.agent and self.distribution is other.distribution


@functools.cache
def _compiled() -> Callable:
    """`_live_on_block` under `jit`, compiled once for all splits and seeds of an agent."""
    # On a CPU the highest level takes twice as long to compile, and lifetimes as short as these run no faster for it.
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(_live_on_block, static_argnums=0, compiler_options=options)


def _live_on_block(who: _ByIdentity, params: PyTree, tasks: PyTree, keys: PRNGKeyArray) -> tuple[jax.Array, jax.Array]:
    """Rewards and validity `[block, T]`."""

    def one(task: PyTree, key: PRNGKeyArray) -> tuple[jax.Array, jax.Array]:
        lifetime, _ = run_lifetime(who.agent, who.distribution, params, task, key)
        return lifetime.outcome.reward, lifetime.valid

    return jax.vmap(one)(tasks, keys)


def run_on_tasks(
    agent: Agent, distribution: TaskDistribution, params: PyTree, tasks: PyTree, keys: PRNGKeyArray
) -> tuple[np.ndarray, np.ndarray]:
    """Rewards and validity `[tasks, T]`, in blocks of equal size whose memories fit."""
    count = len(keys)
    # Memory stands several times in a loop; a slot's records are a few dozen bytes.
    each = 4 * memory_bytes(agent) + 64 * distribution.spec.lifetime_steps
    blocks = -(-count // min(count, max(1, _BLOCK_BYTES // each)))
    size = -(-count // blocks)
    who, program, parts = _ByIdentity(agent, distribution), _compiled(), []
    for start in range(0, count, size):
        # The last block starts over with the first tasks, so that one program serves all; they are cut off
        # again.
        rows = np.arange(start, start + size) % count
        block = jax.tree.map(lambda leaf, rows=rows: leaf[rows], tasks)
        parts.append(jax.tree.map(np.asarray, program(who, params, block, keys[rows])))
    reward, valid = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return reward, valid
