"""One update of meta-training as one compiled program, for several seeds and devices at once.

Its randomness depends on the root keys and the number of the update alone, so a run that was stopped goes on to the same
parameters.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Transition, record
from quickstudy.training.device_mesh import device_mesh
from quickstudy.training.lifetime_source import Collected, LifetimeSource, Metrics
from quickstudy.training.over_seeds import over_seeds
from quickstudy.training.random_keys import init_keys, update_keys

Rates = tuple[Array, ...]


@record
class RunState:
    """Everything that one update hands to the next, for every seed: leaves `[seeds, ...]`. A checkpoint holds exactly this.

    `train`: the algorithm's train state. `kept`: what the source of lifetimes keeps, such as the replay store.
    """

    train: PyTree
    kept: PyTree


def rates_of(algorithm: MetaAlgorithm) -> Rates:
    """The numbers `[]`, float32, that the compiled update takes as arguments: other numbers need no new compilation."""
    return tuple(jnp.float32(rate) for rate in algorithm.rates)


def initial_state(algorithm: MetaAlgorithm, source: LifetimeSource, roots: Key[Array, " seeds"]) -> RunState:
    """The state before the first update, for each of the seeds whose root keys `[seeds]` are given."""
    train = jax.jit(over_seeds(algorithm.init, (0,)))(init_keys(roots))
    kept = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], len(roots), axis=0), source.initial())
    return RunState(train=train, kept=kept)


def update_program(algorithm: MetaAlgorithm, source: LifetimeSource) -> Any:
    """`(state, supplied, roots, update, progress, rates=()) -> (state, metrics)`, compiled once; the old state's buffers are
    reused.

    `state`: a `RunState`. `supplied`: the arrays from `source.supply`. `roots`: root keys `[seeds]`. `update` `[]`: its number,
    uint32. `progress` `[]` in [0, 1), float32. `rates`: `algorithm.rates` as arrays; without them, they are constants of the
    program. Metrics are those of `apply_update`, each `[seeds]`.

    Args:
      algorithm: the algorithm that is trained.
      source: of the lifetimes; its `next` is traced into the program.
    """

    def one_seed(
        state: RunState, supplied: PyTree, keys: Key[Array, " lifetimes"], progress: Array, key: PRNGKeyArray, rates: Rates
    ) -> tuple[RunState, dict[str, Array]]:
        kept, lifetimes = source.next(state.kept, algorithm.params(state.train), supplied, keys)
        train, metrics = apply_update(algorithm, state.train, lifetimes, progress, key, *rates)
        return RunState(train=train, kept=kept), metrics

    shared = jax.shard_map(
        over_seeds(one_seed, (0, 0, 0, None, 0, None)),
        mesh=device_mesh(algorithm),
        in_specs=(P(), P(None, None, LIFETIMES_AXIS), P(None, LIFETIMES_AXIS), P(), P(), P()),
        out_specs=(P(), P()),
        check_vma=False,  # gradients are averaged by the algorithm itself, once per step
    )

    def update_all(
        state: RunState, supplied: PyTree, roots: Key[Array, " seeds"], update: Array, progress: Array, rates: Rates = ()
    ) -> tuple[RunState, dict[str, Array]]:
        keys = jax.vmap(update_keys, (0, None, None))(roots, update, algorithm.lifetimes)
        return shared(state, supplied, keys[:, 1:], progress, keys[:, 0], rates)

    return jax.jit(update_all, donate_argnums=0)


def run_update(
    program: Any, source: LifetimeSource, state: RunState, roots: Key[Array, " seeds"], update: int, progress: float
) -> tuple[RunState, Metrics]:
    """The state after one more update, and metrics over seeds. The old state's buffers are reused.

    Args:
      program: as `update_program` gave it, for the same source.
      source: of the lifetimes.
      state: before the update.
      roots: root keys `[seeds]`.
      update: its number, from 0.
      progress: the spent part of the budget, in [0, 1).
    """
    supplied, collecting = source.supply(state.train, roots, update)
    state, metrics = apply_supplied(program, state, supplied, roots, update, progress)
    return state, metrics | collecting


def apply_supplied(
    program: Any,
    state: RunState,
    supplied: PyTree,
    roots: Key[Array, " seeds"],
    update: int,
    progress: float,
    rates: Rates = (),
) -> tuple[RunState, Metrics]:
    """The part of `run_update` that comes after `source.supply`, whose arrays are `supplied`; other arguments as there.

    Args:
      rates: as of `update_program`.
    """
    state, metrics = program(state, supplied, roots, jnp.uint32(update), jnp.float32(progress), rates)
    return state, {name: np.asarray(value, float).tolist() for name, value in metrics.items()}


def apply_update(
    algorithm: MetaAlgorithm, train: PyTree, lifetimes: Collected, progress: Array, key: PRNGKeyArray, *rates: Array
) -> tuple[PyTree, dict[str, Array]]:
    """The train state of one seed after learning from its lifetimes, this device's share, and metrics `[]`.

    Metrics are the algorithm's and these. `train_return`: the mean return of the fresh lifetimes. `nonfinite_steps`: steps per
    lifetime that were masked, as their numbers were not finite. `overflowing_steps`: those of them whose reward was too large.
    And the change through adaptation, see `adaptation_metrics`.

    Args:
      algorithm: its `update` is called.
      train: the algorithm's train state.
      lifetimes: as their source gave them.
      progress: `[]` in [0, 1), the spent part of the budget.
      key: consumed by `update`.
      *rates: of `algorithm.rates`; none leaves them to `update`.
    """
    train, metrics = algorithm.update(train, lifetimes.given, progress, key, *rates)
    fresh = lifetimes.fresh
    # A lifetime that was lost altogether has no return, so it does not count.
    happened = jax.lax.psum(fresh.valid.any(0).sum().astype(jnp.float32), LIFETIMES_AXIS)
    each = lambda steps: jax.lax.pmean(steps.sum(0).astype(jnp.float32).mean(), LIFETIMES_AXIS)  # noqa: E731
    watched = {
        "train_return": jax.lax.psum(fresh.outcome.reward.sum(), LIFETIMES_AXIS) / jnp.maximum(happened, 1.0),
        "nonfinite_steps": each(lifetimes.nonfinite),
        "overflowing_steps": each(lifetimes.overflowing),
    }
    return train, watched | adaptation_metrics(algorithm, fresh) | metrics


def adaptation_metrics(algorithm: MetaAlgorithm, lifetimes: Transition) -> dict[str, Array]:
    """Mean return of an episode in the first and in the last part of lifetimes, and the standard error of the difference.

    A part is one episode, or as many as the agent plays between two calls of `adapt`. Where a lifetime is one part there are
    no such metrics. Returns are in reward units per episode. Lost lifetimes do not count.

    Args:
      algorithm: whose agent ran the lifetimes.
      lifetimes: `[T, lifetimes]`, this device's share.
    """
    spec = algorithm.agent.spec
    part = max(algorithm.agent.cadence, spec.horizon)
    if part == spec.lifetime_steps:
        return {}
    reward = lifetimes.outcome.reward * (spec.horizon / part)
    first, last = reward[:part].sum(0), reward[-part:].sum(0)
    happened = lifetimes.valid.any(0)
    count = jnp.maximum(jax.lax.psum(happened.sum().astype(jnp.float32), LIFETIMES_AXIS), 1.0)
    mean = lambda values: jax.lax.psum(jnp.where(happened, values, 0.0).sum(), LIFETIMES_AXIS) / count  # noqa: E731
    variance = mean(jnp.square(last - first - mean(last - first)))
    return {
        "first_episodes": mean(first),
        "last_episodes": mean(last),
        "adaptation_error": jnp.sqrt(variance / count),
    }
