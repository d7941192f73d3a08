"""Advantages within whole episodes, against a value baseline that is fitted to them."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.numerics.linear_baseline import linear_baseline
from quickstudy.numerics.returns import generalised_advantage
from quickstudy.numerics.surrogate import masked_mean
from quickstudy.protocol.sequences import chunks, flatten_chunks


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
    """Generalised advantages of consecutive episodes; no reward of one episode counts for another.

    Args:
      observation: `[steps, size]`, flat, scaled to around one.
      reward: `[steps]`, reward units; received for the action at each step.
      valid: `[steps]`; steps that happened.
      horizon: slots of one episode; it divides the steps.
      discount: γ in [0, 1], per step.
      trace_decay: λ in [0, 1].
      baseline: a value that is linear in simple features and fitted to the same episodes, or zero.
    Returns:
      `[steps]`, reward units; 0 where not valid.
    Source: Schulman et al. 2016, eq. 16, with the baseline of Duan et al. 2016. Changed: nothing.
    """
    observation, reward, valid = chunks((observation, reward, valid), length=horizon)
    value = jnp.zeros_like(reward)
    if baseline == "linear":
        returns = _advantages(reward, value, valid, discount, 1.0)
        value = linear_baseline(observation, returns, valid)
    return flatten_chunks(_advantages(reward, value, valid, discount, trace_decay))


def standardised(
    values: Float[Array, "*shape"], valid: Bool[Array, "*shape"], *, average: Callable[[Array], Array] = lambda mean: mean
) -> Float[Array, "*shape"]:
    """Values scaled to mean 0 and standard deviation 1 over the steps that happened; 0 elsewhere.

    Args:
      values: in any unit.
      valid: steps that happened.
      average: mean over the devices that share the steps.
    """
    centred = values - average(masked_mean(values, valid))
    deviation = jnp.sqrt(average(masked_mean(jnp.square(centred), valid))) + 1e-8
    return jnp.where(valid, centred / deviation, 0.0)


def _advantages(reward: Array, value: Array, valid: Array, discount: float, trace_decay: float) -> Array:
    estimate = lambda r, v, m: generalised_advantage(r, v, m, discount=discount, trace_decay=trace_decay)[0]  # noqa: E731
    return jax.vmap(estimate)(reward, value, valid)
