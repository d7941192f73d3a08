"""Lifetimes on tasks written in JAX: they are run inside the compiled update, so that nothing leaves the devices."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.memory import bytes_of, check_memory, free_bytes_of_devices
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, Fresh, KnownLifetimes, MetaAlgorithm
from quickstudy.protocol.records import Transition
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import Measure, run_lifetime_measured
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.training.device_mesh import device_mesh
from quickstudy.training.learning_within import points_of
from quickstudy.training.lifetime_source import Collected, HeldOut, Metrics, affordable_tasks, collected
from quickstudy.training.memory import program_bytes
from quickstudy.training.over_seeds import over_seeds
from quickstudy.training.random_keys import held_out_keys


def held_out_count(distribution: TaskDistribution, tasks: int) -> int:
    """The number of held-out tasks: where lifetimes are long, 2^19 steps in all, and at least 32."""
    return affordable_tasks(tasks, distribution.spec, most_steps=2**19, least=32)


def held_out_tasks(distribution: TaskDistribution, *, tasks: int) -> tuple[PyTree, Key[Array, " tasks"]]:
    """The held-out tasks of the test split, leading axis `[tasks]`, and the key of the lifetime on each `[tasks]`."""
    split = jax.vmap(jax.random.split)(held_out_keys(held_out_count(distribution, tasks)))
    return jax.jit(jax.vmap(lambda key: distribution.sample("test", key)))(split[:, 0]), split[:, 1]


_Lifetime = Callable[[PyTree, PyTree, PRNGKeyArray], tuple[Transition, Array | None]]


def _lifetime_of(agent: Agent, distribution: TaskDistribution, measure: Measure | None) -> _Lifetime:
    """`(params, task, key)` to a whole lifetime of an agent, guarded against numbers that are not finite, and its measure."""
    guarded = with_nonfinite_guard(agent)

    def lifetime(params: PyTree, task: PyTree, key: PRNGKeyArray) -> tuple[Transition, Array | None]:
        return run_lifetime_measured(guarded, distribution, params, task, key, measure=measure)[0]

    return jax.jit(lifetime, inline=True)


class FreshSource:
    """Lifetimes on tasks written in JAX: they are run inside the compiled update.

    Args:
      algorithm: the algorithm that is trained.
      distribution: of the tasks.
      tasks: the number of held-out tasks; fewer where lifetimes are long, a multiple of the number of devices.
    """

    supplies = False

    def __init__(self, algorithm: MetaAlgorithm, distribution: TaskDistribution, *, tasks: int):
        self._distribution = distribution
        wants = algorithm.wants if isinstance(algorithm.wants, Fresh) else Fresh()
        self._ceiling = distribution.ceiling if wants.ceilings else None
        mean_reward = distribution.mean_reward if wants.mean_rewards else None
        self._tasks, self._points = tasks, points_of(distribution.spec.lifetime_steps)
        # One tracing serves the sizes, the update and the evaluation. `inline` leaves no call in the programs.
        self._lifetime = _lifetime_of(algorithm.collector, distribution, mean_reward)
        same = algorithm.collects is None and mean_reward is None
        self._evaluated = self._lifetime if same else _lifetime_of(algorithm.agent, distribution, None)
        self._held_out: Any = self._held_out_program(algorithm, tasks)

    def initial(self) -> PyTree:  # noqa: D102
        return ()

    def lifetime_bytes(self, params: PyTree) -> int:  # noqa: D102
        def one(params: PyTree, key: PRNGKeyArray) -> tuple[PyTree, Transition]:
            task = self._distribution.sample("train", key)
            return task, self._lifetime(params, task, key)[0]

        return bytes_of(jax.eval_shape(one, params, jax.eval_shape(lambda: jax.random.key(0))))

    def compile(self, train: PyTree) -> None:  # noqa: D102
        self._held_out = self._held_out.lower(train).compile()
        check_memory(
            program_bytes(self._held_out),
            what=f"evaluating on {held_out_count(self._distribution, self._tasks):,} held-out tasks during training",
            remedy="Use fewer of them (--held-out-tasks), shorter lifetimes or fewer seeds.",
            free=free_bytes_of_devices(),
        )

    def supply(self, train: PyTree, roots: Key[Array, " seeds"], update: int) -> tuple[PyTree, Metrics]:  # noqa: D102
        del train, roots, update
        return (), {}

    def next(self, kept: PyTree, params: PyTree, supplied: PyTree, keys: Key[Array, " lifetimes"]) -> tuple[PyTree, Collected]:  # noqa: D102
        del supplied
        return kept, self._run(self._lifetime, "train", params, keys)

    def held_out(self, train: PyTree) -> HeldOut:  # noqa: D102
        returns, so_far = self._held_out(train)
        metrics = {"held_out_return": np.asarray(returns, float).tolist()}
        return HeldOut(metrics=metrics, steps=self._points, so_far=np.asarray(so_far, float))

    def seconds(self) -> dict[str, float]:  # noqa: D102
        return {}

    def close(self) -> None:  # noqa: D102
        pass

    def _run(self, lifetime: _Lifetime, split: str, params: PyTree, keys: Key[Array, " lifetimes"]) -> Collected:
        """One lifetime for each key `[lifetimes]`, each on a task of its own."""

        def one(key: PRNGKeyArray) -> tuple[Transition, Array | None, Array | None]:
            key_task, key_lifetime = jax.random.split(key)
            task = self._distribution.sample(split, key_task)
            return *lifetime(params, task, key_lifetime), None if self._ceiling is None else self._ceiling(task)

        lifetimes, mean_reward, ceiling = jax.vmap(one, 0, (1, 1, 0))(keys)
        clean = collected(lifetimes)
        if ceiling is None and mean_reward is None:
            return clean
        known = KnownLifetimes(lifetimes=clean.fresh, ceiling=ceiling, mean_reward=mean_reward)
        return dataclasses.replace(clean, given=known)

    def _held_out_program(self, algorithm: MetaAlgorithm, tasks: int) -> jax.stages.Wrapped:
        """`(train) -> [seeds], [seeds, points]`: mean return on held-out tasks, of a lifetime and up to each point of it."""
        mesh = device_mesh(algorithm)
        tasks = -(-held_out_count(self._distribution, tasks) // mesh.size) * mesh.size
        keys = held_out_keys(tasks)

        def one_seed(train: PyTree, keys: Key[Array, " lifetimes"]) -> tuple[Float[Array, ""], Float[Array, " points"]]:
            reward = self._run(self._evaluated, "test", algorithm.params(train), keys).fresh.outcome.reward
            so_far = reward.mean(1).cumsum()[np.asarray(self._points) - 1]
            return jax.lax.pmean((reward.sum(0).mean(), so_far), LIFETIMES_AXIS)

        shared = jax.shard_map(
            over_seeds(one_seed, (0, None)),
            mesh=mesh,
            in_specs=(P(), P(LIFETIMES_AXIS)),
            out_specs=P(),
            check_vma=False,
        )
        return jax.jit(lambda train: shared(train, keys))
