"""Advantages within whole episodes, against a value baseline that is fitted to them."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.numerics.linear_baseline import linear_baseline
from quickstudy.numerics.returns import generalised_advantage
from quickstudy.numerics.surrogate import masked_mean


def episode_advantages(
    observation: Float[Array, "steps size"],
    reward: Float[Array, " steps"],
    valid: Bool[Array, " steps"],
    *,
    horizon: int,
    discount: float,
    trace_decay: float,
    baseline: Literal["linear", "none"] = "linear",
) -> Float[Array, " steps"]:
    """Generalised advantages `[steps]` of episodes that are laid out one after another; nothing passes from one to the next.

    Args:
      observation: flat, scaled to around one.
      reward: received for the action at each step.
      valid: steps that happened.
      horizon: slots of one episode; it divides the steps.
      discount: per step.
      trace_decay: lambda.
      baseline: a value that is linear in simple features, fitted to these very episodes; or zero.
    """
    cut = lambda leaf: leaf.reshape(-1, horizon, *leaf.shape[1:])  # noqa: E731
    reward, valid = cut(reward), cut(valid)
    value = jnp.zeros_like(reward)
    if baseline == "linear":
        returns = _advantages(reward, value, valid, discount, 1.0)
        value = linear_baseline(cut(observation), returns, valid)
    return _advantages(reward, value, valid, discount, trace_decay).reshape(-1)


def standardised(
    values: Float[Array, "*shape"], valid: Bool[Array, "*shape"], *, average: Callable[[Array], Array] = lambda mean: mean
) -> Float[Array, "*shape"]:
    """Brought to mean 0 and deviation 1 over the steps that happened; 0 elsewhere.

    Args:
      values: in any unit.
      valid: steps that happened.
      average: of means over devices that share the steps.
    """
    centred = values - average(masked_mean(values, valid))
    deviation = jnp.sqrt(average(masked_mean(jnp.square(centred), valid))) + 1e-8
    return jnp.where(valid, centred / deviation, 0.0)


def _advantages(reward: Array, value: Array, valid: Array, discount: float, trace_decay: float) -> Array:
    estimate = lambda r, v, m: generalised_advantage(r, v, m, discount=discount, trace_decay=trace_decay)[0]  # noqa: E731
    return jax.vmap(estimate)(reward, value, valid)
