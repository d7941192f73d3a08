"""Lifetimes on tasks of either kind: the rewards of many, or all of one."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, memory_bytes
from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution
from quickstudy.protocol.memory import check_memory
from quickstudy.protocol.records import Transition, blank_observation
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import WorkerPool, open_pool
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import mask_nonfinite, with_nonfinite_guard

_BLOCK_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutRewards:
    """The rewards of many lifetimes.

    `reward`: `[tasks, T]`, reward units; zero where a slot did not happen, or was masked.
    `valid`: `[tasks, T]`, whether a slot happened and was not masked.
    `nonfinite`: `[tasks, T]`, slots that the non-finite guard masked.
    `measures`: what environments measured beside the reward, by name, `[tasks, T]`; none for tasks written in JAX.
    """

    reward: Float[np.ndarray, "tasks T"]
    valid: Bool[np.ndarray, "tasks T"]
    nonfinite: Bool[np.ndarray, "tasks T"]
    measures: dict[str, Float[np.ndarray, "tasks T"]]


class Runner:
    """Runs lifetimes: by compiled programs for tasks written in JAX, by a worker pool for all others. A context manager.

    Agents run with the guard of `with_nonfinite_guard`, as they are trained and deployed. Steps whose numbers are not finite
    are masked, as in meta-training.

    Args:
      distribution: of the tasks, of either kind.
      collecting: where lifetimes on host distributions run; their workers start when they are first needed.
    Example:
      with Runner(distribution, collecting) as runner:
          rewards = runner.run(agent, params, tasks, keys)
    """

    def __init__(self, distribution: AnyDistribution, collecting: CollectingConfig = CollectingConfig()):
        # The one place in this room that asks which kind of distribution it is.
        self._where: _InPool | _Compiled = (
            _InPool(distribution, collecting) if isinstance(distribution, HostDistribution) else _Compiled(distribution)
        )
        self.distribution = distribution

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._where.close()

    def run(self, agent: Agent, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]) -> RolloutRewards:
        """One lifetime on each task.

        Args:
          agent: its lifetimes may hold another number of episodes than the distribution's.
          params: its parameters, without a leading axis of seeds.
          tasks: leading axis `[tasks]`.
          keys: `[tasks]`, as `run_lifetime` takes them.
        Raises:
          SpecError: the agent was made for other tasks.
          CollectingError: a lifetime was lost.
        """
        return self._where.run(agent, params, tasks, keys)

    def record(self, agent: Agent, params: PyTree, task: PyTree, key: PRNGKeyArray) -> Transition:
        """All of one lifetime, the one that `run` gives the rewards of.

        Args:
          agent: as of `run`.
          params: its parameters, without a leading axis of seeds.
          task: one task, unbatched.
          key: of the lifetime.
        Returns:
          The lifetime `[T]` as NumPy arrays, with everything that decisions hold. Masked steps are not `valid`.
        Raises:
          SpecError: the agent was made for other tasks.
          CollectingError: the lifetime was lost.
        """
        return jax.device_get(mask_nonfinite(self._where.record(agent, params, task, key))[0])


class _InPool:
    """Lifetimes on a host distribution."""

    def __init__(self, distribution: HostDistribution, collecting: CollectingConfig):
        self._distribution, self._collecting = distribution, collecting
        self._pool: WorkerPool | None = None
        self._guarded = dict[int, tuple[Agent, Agent]]()

    def run(self, agent: Agent, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]) -> RolloutRewards:
        batch = self._collected(agent, params, tasks, keys, rewards_only=True)
        if batch.lost.any():
            raise CollectingError(
                f"{batch.lost.sum()} of {len(batch.lost)} lifetimes were lost to faults of their environments. A measurement "
                "cannot leave them out: repair the environment first (`quickstudy check` says what is wrong with it)."
            )
        measures = {name: measured.T for name, measured in batch.measures.items()}
        return RolloutRewards(
            reward=np.where(batch.nonfinite, np.float32(0), batch.reward).T,
            valid=(batch.valid & ~batch.nonfinite).T,
            nonfinite=batch.nonfinite.T,
            measures=measures,
        )

    def record(self, agent: Agent, params: PyTree, task: PyTree, key: PRNGKeyArray) -> Transition:
        tasks = jax.tree.map(lambda leaf: np.asarray(leaf)[None], task)
        batch = self._collected(agent, params, tasks, key[None], rewards_only=False)  # which raises if it was lost
        return jax.tree.map(lambda leaf: leaf[:, 0], batch.lifetimes)

    def _collected(self, agent: Agent, params: PyTree, tasks: PyTree, keys: Any, *, rewards_only: bool) -> CollectedBatch:
        if self._pool is None:
            self._pool = open_pool(self._distribution, self._collecting)
        if id(agent) not in self._guarded:  # one object for each agent, since compiled programs are found by it
            self._guarded[id(agent)] = agent, with_nonfinite_guard(agent)
        return self._pool.run(self._guarded[id(agent)][1], params, tasks, keys, rewards_only=rewards_only)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


class _Compiled:
    """Lifetimes on tasks written in JAX."""

    def __init__(self, distribution: TaskDistribution):
        self._with_episodes = {distribution.spec.episodes: distribution}
        self._distribution = distribution
        self._recording = dict[int, tuple[Agent, Callable]]()

    def run(self, agent: Agent, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]) -> RolloutRewards:
        return _run_in_blocks(agent, self._fitting(agent), params, tasks, keys)

    def record(self, agent: Agent, params: PyTree, task: PyTree, key: PRNGKeyArray) -> Transition:
        if id(agent) not in self._recording:  # compiled once for all lifetimes of an agent
            distribution, guarded = self._fitting(agent), with_nonfinite_guard(agent)
            program = jax.jit(lambda params, task, key: run_lifetime(guarded, distribution, params, task, key)[0])
            self._recording[id(agent)] = agent, program
        return self._recording[id(agent)][1](params, task, key)

    def _fitting(self, agent: Agent) -> TaskDistribution:
        """The distribution with as many episodes as the agent's lifetimes have."""
        episodes = agent.spec.episodes
        if episodes not in self._with_episodes:  # one object for each number, since compiled programs are found by it
            spec = dataclasses.replace(self._distribution.spec, episodes=episodes)
            self._with_episodes[episodes] = dataclasses.replace(self._distribution, spec=spec)
        return self._with_episodes[episodes]

    def close(self) -> None:
        pass


class _ByIdentity:
    """An agent and a distribution, hashed by identity: the functions and spaces in them have no hash of their own."""

    def __init__(self, agent: Agent, distribution: TaskDistribution):
        self.agent, self.distribution = agent, distribution

    def __hash__(self) -> int:
        return hash((id(self.agent), id(self.distribution)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.agent is other.agent and self.distribution is other.distribution


@functools.cache
def _compiled() -> Callable:
    """`_run_block` under `jit`, compiled once for all splits and seeds of an agent."""
    # On a CPU the highest level takes twice as long to compile, and lifetimes as short as these run no faster for it.
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(_run_block, static_argnums=0, compiler_options=options)


def _run_block(
    pair: _ByIdentity, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rewards, validity and masked steps `[block, T]`."""
    agent = with_nonfinite_guard(pair.agent)

    def one(task: PyTree, key: PRNGKeyArray) -> tuple[jax.Array, jax.Array, jax.Array]:
        lifetime, nonfinite = mask_nonfinite(run_lifetime(agent, pair.distribution, params, task, key)[0])
        return lifetime.outcome.reward, lifetime.valid, nonfinite

    return jax.vmap(one)(tasks, keys)


def run_on_tasks(
    agent: Agent, distribution: TaskDistribution, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]
) -> tuple[Float[np.ndarray, "tasks T"], Bool[np.ndarray, "tasks T"]]:
    """Rewards and validity of one lifetime on each task, computed in blocks of equal size that fit into memory.

    Args:
      agent: its spec must agree with the distribution's.
      distribution: of the tasks.
      params: of the agent.
      tasks: leading axis `[tasks]`.
      keys: `[tasks]`, as `run_lifetime` takes them.
    Raises:
      SpecError: the agent was made for other tasks.
      UsageError: not even one lifetime fits into memory.
    """
    rollouts = _run_in_blocks(agent, distribution, params, tasks, keys)
    return rollouts.reward, rollouts.valid


def _run_in_blocks(
    agent: Agent, distribution: TaskDistribution, params: PyTree, tasks: PyTree, keys: Key[Array, " lifetimes"]
) -> RolloutRewards:
    """One lifetime on each task, as of `run_on_tasks`."""
    count = len(keys)
    # A loop holds several copies of the memory; the records of a slot take a few dozen bytes.
    blank = blank_observation(agent.spec)
    observed = 8 * math.prod(blank.shape) * bool(jnp.issubdtype(blank.dtype, jnp.floating))  # of which the guard reads all
    each = 4 * memory_bytes(agent) + (64 + observed) * distribution.spec.lifetime_steps
    check_memory(
        each,
        what=f"one lifetime of {distribution.spec.lifetime_steps:,} steps",
        remedy="Use shorter lifetimes, or an agent with a smaller memory.",
    )
    blocks = -(-count // min(count, max(1, _BLOCK_BYTES // each)))
    size = -(-count // blocks)
    pair, program, parts = _ByIdentity(agent, distribution), _compiled(), []
    for start in range(0, count, size):
        # The last block is filled up with the first tasks, so that one program serves all blocks; the result is cut again.
        rows = np.arange(start, start + size) % count
        block = jax.tree.map(lambda leaf, rows=rows: leaf[rows], tasks)
        parts.append(jax.tree.map(np.asarray, program(pair, params, block, keys[rows])))
    reward, valid, nonfinite = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return RolloutRewards(reward=reward, valid=valid, nonfinite=nonfinite, measures={})
