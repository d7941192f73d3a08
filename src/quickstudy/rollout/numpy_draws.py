"""How actions are drawn in NumPy: from the numbers of a policy, and from random numbers that JAX draws.

A policy draws a block of random numbers from its key, and turns them into an action. JAX draws such blocks for many slots in
one call. Here they are turned into actions, in the way of the policy:

    Categorical, Categoricals     the place of the largest of logits plus Gumbel noise
    TruncatedNormal               the quantile of a uniform number, cut to the bounds

`check_draws` compares this way with what the agent's policy does, operation by operation. A policy that was changed, or that
draws in another way, is refused: it has no form in NumPy.
"""

from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from quickstudy.numerics.distributions import Categorical, TruncatedNormal
from quickstudy.numerics.independent_choices import Categoricals
from quickstudy.programs.tracing import named_leaves, trace
from quickstudy.protocol.agent import slot_key
from quickstudy.protocol.errors import NoProgramError
from quickstudy.protocol.records import Decision
from quickstudy.rollout.step_programs import StepPrograms

Drawn = Categorical | Categoricals | TruncatedNormal

_DRAWN_EXTRAS = frozenset(("log_probability",))
"""Extras about the drawn action; they are computed only when they are read."""
_LEAST_QUANTILE = 1e-16


def check_draws(decision: Decision, programs: StepPrograms) -> Drawn:
    """The policy of an agent, if its actions can be drawn here.

    Args:
      decision: of the agent, with shapes in place of arrays.
      programs: of the agent.
    Raises:
      NoProgramError: the policy draws in another way, or other parts of decisions are random.
    """
    extras = [name.removeprefix(".") for name in named_leaves(decision.extras, root="")]
    other = [name for name in extras if name.split(".")[0] not in _DRAWN_EXTRAS and name not in programs.decision]
    if other:
        raise NoProgramError(f"parts of the agent's decisions are random: {', '.join(other)}.", part=f"act, for its {other[0]}")
    policy = programs.policy
    if not isinstance(policy, Drawn):
        raise NoProgramError(
            f"a policy of the kind {type(policy).__name__} is not drawn from in NumPy.", part="act, for its policy"
        )
    leaves = named_leaves(policy, root="policy")
    structure = jax.tree.structure(policy)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def both(key: Any, **numbers: Any) -> dict[str, Any]:
        policy = jax.tree.unflatten(structure, [numbers[name] for name in leaves])
        return {"sampled": policy.sample(key), "drawn": _drawn_in_jax(policy, _noise(policy, key))}

    traced = trace(both, {"key": key} | leaves)
    if traced.outputs["sampled"] is not traced.outputs["drawn"]:
        raise NoProgramError("the policy draws actions in a way that is not written in NumPy.", part="act, for its draws")
    return policy


def noise_of_slots(policy: Drawn, key: PRNGKeyArray, start: int, *, count: int) -> np.ndarray:
    """The random numbers of the actions of many slots, `[count, ...]`.

    Args:
      policy: with shapes in place of numbers.
      key: of the lifetime.
      start: the first slot.
      count: how many slots.
    """
    return np.asarray(
        _noise_block(key, start, count=count, gumbel=not isinstance(policy, TruncatedNormal), shape=_shape(policy))
    )


def drawing(policy: Drawn, names: list[str]) -> Callable[[tuple, np.ndarray], Any]:
    """A function from the numbers of a decision and the random numbers of a slot to an action of the space's shape.

    Args:
      policy: with shapes in place of numbers.
      names: of the numbers of a decision, in their order.
    """
    if isinstance(policy, TruncatedNormal):
        return _truncated_normal(policy, names)
    place = names.index("policy.logits")
    if isinstance(policy, Categorical):
        start = policy.start
        return lambda numbers, noise: int((numbers[place] + noise).argmax()) + start
    shape, first = policy.shape, np.reshape(np.asarray(policy.start), policy.shape)

    def chosen(numbers: tuple, noise: np.ndarray) -> np.ndarray:
        return (np.reshape(numbers[place], noise.shape) + noise).argmax(-1).reshape(shape) + first

    return chosen


def _truncated_normal(policy: TruncatedNormal, names: list[str]) -> Callable[[tuple, np.ndarray], np.ndarray]:
    mean_at, deviation_at = names.index("policy.mean"), names.index("policy.deviation")
    normal, bounds = NormalDist(), list(zip(policy.low, policy.high, strict=True))
    shape = (len(bounds),) if policy.shape is None else policy.shape

    def drawn(numbers: tuple, noise: np.ndarray) -> np.ndarray:
        means, deviations = (np.ravel(numbers[place]).tolist() for place in (mean_at, deviation_at))
        action = []
        for (low, high), mean, deviation, uniform in zip(bounds, means, deviations, noise.tolist(), strict=True):
            lowest = normal.cdf((low - mean) / deviation)
            quantile = lowest + uniform * (normal.cdf((high - mean) / deviation) - lowest)
            number = mean + deviation * normal.inv_cdf(min(max(quantile, _LEAST_QUANTILE), 1 - _LEAST_QUANTILE))
            action.append(min(max(number, low), high))
        return np.asarray(action, np.float32).reshape(shape)

    return drawn


def _drawn_in_jax(policy: Drawn, noise: Array) -> Array:
    """What `drawing` computes, in JAX."""
    if isinstance(policy, Categorical):
        return jnp.argmax(noise + policy.logits, axis=-1).astype(jnp.int32) + policy.start
    if isinstance(policy, Categoricals):
        numbers = jnp.argmax(noise + policy.logits, axis=-1).astype(jnp.int32) + jnp.asarray(policy.start, jnp.int32)
        return numbers.reshape(policy.shape).astype(policy.kind)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (policy.low, policy.high))
    below, above = ((bound - policy.mean) / policy.deviation for bound in (low, high))
    lowest = jax.scipy.special.ndtr(below)
    quantile = lowest + noise * (jax.scipy.special.ndtr(above) - lowest)
    drawn = jnp.clip(policy.mean + policy.deviation * jax.scipy.special.ndtri(quantile), low, high)
    return drawn if policy.shape is None else drawn.reshape(policy.shape)


def _noise(policy: Drawn, key: PRNGKeyArray) -> Array:
    """The random numbers of one draw, as the policies draw them."""
    return _drawn_noise(key, gumbel=not isinstance(policy, TruncatedNormal), shape=_shape(policy))


def _drawn_noise(key: PRNGKeyArray, *, gumbel: bool, shape: tuple[int, ...]) -> Array:
    return jax.random.gumbel(key, shape) if gumbel else jax.random.uniform(key, shape, minval=1e-6, maxval=1.0 - 1e-6)


def _shape(policy: Drawn) -> tuple[int, ...]:
    return (policy.mean if isinstance(policy, TruncatedNormal) else policy.logits).shape


@partial(jax.jit, static_argnames=("count", "gumbel", "shape"))
def _noise_block(key: PRNGKeyArray, start: Array, *, count: int, gumbel: bool, shape: tuple[int, ...]) -> Array:
    keys = jax.vmap(slot_key, (None, 0))(key, start + jnp.arange(count))[:, 1]
    return jax.vmap(lambda key: _drawn_noise(key, gumbel=gumbel, shape=shape))(keys)
