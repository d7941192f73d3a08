"""What meta-training compiles: one update (live, then learn) and one look at held-out tasks, over seeds and devices."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.stages
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Transition
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import mask_nonfinite, with_nonfinite_guard

_INIT_STREAM, _UPDATE_STREAM = 0, 1
HELD_OUT_SEED = 20_000_303


def initial_state(algorithm: MetaAlgorithm, roots: PRNGKeyArray) -> PyTree:
    """A train state for each of the seeds whose root keys `[seeds]` are given; leaves gain a leading axis."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(roots, _INIT_STREAM)
    return jax.jit(jax.vmap(algorithm.init))(keys)


def device_mesh(algorithm: MetaAlgorithm) -> Mesh:
    """As many of the local devices as the lifetimes of one update can be shared among evenly."""
    devices = jax.local_devices()
    fitting = [n for n in range(1, len(devices) + 1) if algorithm.lifetimes % (n * algorithm.share_multiple) == 0]
    return Mesh(np.asarray(devices[: max(fitting, default=1)]), (LIFETIMES_AXIS,), axis_types=(AxisType.Auto,))


class OuterProgram:
    """One update (live, then learn) and one look at held-out tasks, for tasks written in JAX: each is one compiled program.

    Args:
      algorithm: that learns.
      distribution: of the tasks.
      tasks: held-out tasks that a look is taken at.
    """

    def __init__(self, algorithm: MetaAlgorithm, distribution: TaskDistribution, *, tasks: int):
        self.algorithm, self.distribution = algorithm, distribution
        self._train: Any = train_program(algorithm, distribution)
        self._look: Any = look_program(algorithm, distribution, tasks=tasks)

    def compile(self, state: PyTree, roots: PRNGKeyArray) -> None:
        """Compiles both, so that nothing waits for it later."""
        self._train = self._train.lower(state, roots, jnp.uint32(0), jnp.float32(0)).compile()
        self._look = self._look.lower(state).compile()

    def train(self, state: PyTree, roots: PRNGKeyArray, update: int, progress: float) -> tuple[PyTree, dict[str, list[float]]]:
        """The state after one more update, and metrics, each a list over seeds. The old state is given up."""
        state, metrics = self._train(state, roots, jnp.uint32(update), jnp.float32(progress))
        return state, {name: np.asarray(value, float).tolist() for name, value in metrics.items()}

    def look(self, state: PyTree) -> dict[str, list[float]]:
        """`held_out_return`: mean lifetime return on the held-out tasks, over seeds."""
        return {"held_out_return": np.asarray(self._look(state), float).tolist()}

    def spent(self) -> dict[str, float]:
        """Seconds of training by what they were spent on, where that can be told apart."""
        return {}

    def close(self) -> None:
        """There is nothing to let go of."""


def train_program(algorithm: MetaAlgorithm, distribution: TaskDistribution) -> jax.stages.Wrapped:
    """`(state, roots, update, progress) -> (state, metrics)`, compiled once; the old state is given up.

    All randomness comes from the root keys `[seeds]` and the number of the update. Metrics are those of `learned`.
    """

    def one_seed(state: PyTree, keys: PRNGKeyArray, progress: Array, key: PRNGKeyArray) -> tuple[PyTree, dict]:
        lifetimes = _lifetimes(with_nonfinite_guard(algorithm.agent), distribution, algorithm.params(state), "train", keys)
        return learned(algorithm, state, lifetimes, progress, key)

    shared = jax.shard_map(
        jax.vmap(one_seed, (0, 0, None, 0)),
        mesh=device_mesh(algorithm),
        in_specs=(P(), P(None, LIFETIMES_AXIS), P(), P()),
        out_specs=(P(), P()),
        check_vma=False,  # gradients are averaged by the algorithm itself, once per step
    )

    def train(state: PyTree, roots: PRNGKeyArray, update: Array, progress: Array) -> tuple[PyTree, dict]:
        keys = jax.vmap(update_keys, (0, None, None))(roots, update, algorithm.lifetimes)
        return shared(state, keys[:, 1:], progress, keys[:, 0])

    return jax.jit(train, donate_argnums=0)


def update_keys(root: PRNGKeyArray, update: Array, lifetimes: int) -> PRNGKeyArray:
    """The keys `[lifetimes + 1]` of an update of one seed: what learning consumes, then one for each lifetime."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(root, _UPDATE_STREAM), update), lifetimes + 1)


def learned(
    algorithm: MetaAlgorithm, state: PyTree, lifetimes: Transition, progress: Array, key: PRNGKeyArray
) -> tuple[PyTree, dict[str, Array]]:
    """What one seed learns from its lifetimes `[T, lifetimes]`, this device's share.

    Metrics are the algorithm's, `train_return`, the mean return of the lifetimes, `quarantined`, steps of a lifetime whose
    evidence was not finite and was set apart, and what adapting changed (see `_before_and_after`).
    """
    lifetimes, apart = mask_nonfinite(lifetimes)
    state, metrics = algorithm.update(state, lifetimes, progress, key)
    # A lifetime that was lost altogether earned nothing and counts nothing.
    lived = jax.lax.psum(lifetimes.valid.any(0).sum().astype(jnp.float32), LIFETIMES_AXIS)
    watched = {
        "train_return": jax.lax.psum(lifetimes.outcome.reward.sum(), LIFETIMES_AXIS) / jnp.maximum(lived, 1.0),
        "nonfinite_steps": jax.lax.pmean(apart.sum(0).astype(jnp.float32).mean(), LIFETIMES_AXIS),
    }
    return state, watched | _before_and_after(algorithm, lifetimes) | metrics


def look_program(algorithm: MetaAlgorithm, distribution: TaskDistribution, *, tasks: int) -> jax.stages.Wrapped:
    """`(state) -> [seeds]`: mean lifetime return on the same held-out tasks of the test split at every look."""
    mesh = device_mesh(algorithm)
    tasks = -(-_affordable(tasks, distribution) // mesh.size) * mesh.size
    keys = jax.random.split(jax.random.key(HELD_OUT_SEED), tasks)

    def one_seed(state: PyTree, keys: PRNGKeyArray) -> Float[Array, ""]:
        lifetimes, _ = mask_nonfinite(
            _lifetimes(with_nonfinite_guard(algorithm.agent), distribution, algorithm.params(state), "test", keys)
        )
        return jax.lax.pmean(lifetimes.outcome.reward.sum(0).mean(), LIFETIMES_AXIS)

    shared = jax.shard_map(
        jax.vmap(one_seed, (0, None)),
        mesh=mesh,
        in_specs=(P(), P(LIFETIMES_AXIS)),
        out_specs=P(),
        check_vma=False,
    )
    return jax.jit(lambda state: shared(state, keys))


def _affordable(tasks: int, distribution: TaskDistribution) -> int:
    """As many tasks as asked for, but where lifetimes are long 2^19 steps in all, and 32 at least."""
    return min(tasks, max(32, 2**19 // distribution.spec.lifetime_steps))


def look_at_baselines(distribution: TaskDistribution, *, tasks: int) -> dict[str, float]:
    """Mean lifetime return of every baseline on the held-out tasks that `look_program` looks at."""
    keys = jax.random.split(jax.random.key(HELD_OUT_SEED), _affordable(tasks, distribution))
    returns = {}
    for name, make in distribution.baselines.items():
        agent = make()
        look = jax.jit(
            lambda params, keys, agent=agent: _lifetimes(agent, distribution, params, "test", keys).outcome.reward.sum(0)
        )
        returns[name] = float(look(agent.init(jax.random.key(0)), keys).mean())
    return returns


def _before_and_after(algorithm: MetaAlgorithm, lifetimes: Transition) -> dict[str, Array]:
    """Mean return of an episode in the first and in the last part of these lifetimes, and the standard error of the difference.

    A part is an episode, or as many as the agent lives between two calls of `adapt`. Nothing where a lifetime is one part.
    """
    spec = algorithm.agent.spec
    part = max(algorithm.agent.cadence, spec.horizon)
    if part == spec.lifetime_steps:
        return {}
    reward = lifetimes.outcome.reward * (spec.horizon / part)
    first, last = reward[:part].sum(0), reward[-part:].sum(0)
    lived = lifetimes.valid.any(0)  # what a lost lifetime earned is not known
    count = jnp.maximum(jax.lax.psum(lived.sum().astype(jnp.float32), LIFETIMES_AXIS), 1.0)
    mean = lambda values: jax.lax.psum(jnp.where(lived, values, 0.0).sum(), LIFETIMES_AXIS) / count  # noqa: E731
    variance = mean(jnp.square(last - first - mean(last - first)))
    return {
        "first_episodes": mean(first),
        "last_episodes": mean(last),
        "adaptation_error": jnp.sqrt(variance / count),
    }


def _lifetimes(agent: Agent, distribution: TaskDistribution, params: PyTree, split: str, keys: PRNGKeyArray) -> Transition:
    """One lifetime per key, each on a task of its own: `[T, lifetimes]`."""

    def one(key: PRNGKeyArray) -> Transition:
        key_task, key_lifetime = jax.random.split(key)
        return run_lifetime(agent, distribution, params, distribution.sample(split, key_task), key_lifetime)[0]

    return jax.vmap(one, 0, 1)(keys)
