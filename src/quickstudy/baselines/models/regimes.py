"""Returns under hidden regimes: the filter, its parameters as they are learned, and the position that fits a belief.

    regime ~ Markov chain        return = N(drift of the regime, its volatility²)

The filter is exact where the parameters are. They are learned by expectation and maximisation at each step: sums over steps of
what the filter believes, in which older steps fade. Sums of the joint belief about two regimes in a row give the transitions.

Sources: Hamilton 1989 (the filter); Mongillo & Denève 2008 (learning online). Changed: beliefs are filtered, not smoothed, when
they are summed.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.records import record

REGIMES = ("calm", "wild", "sideways")
TYPICAL_DRIFT = (0.0016, -0.0014, 0.0)
"""Mean return of a bar in each regime, as it is on average over markets."""
TYPICAL_VOLATILITY = (0.007, 0.016, 0.010)
TYPICAL_HOLDING = 50.0
"""Bars that a regime lasts."""

_LEAST = 1e-6


@record
class Regimes:
    """The parameters of a market.

    `drift`, `volatility` `[3]`: mean and standard deviation of the return of one bar. `change` `[3, 3]`: probability of the
    next regime, in rows of the present one.
    """

    drift: Float[Array, " regimes"]
    volatility: Float[Array, " regimes"]
    change: Float[Array, "regimes regimes"]


@record
class Sums:
    """Faded sums over bars.

    `weight`, `first`, `second` `[3]`: of the belief, of the belief times the return, and times its square. `pairs` `[3, 3]`: of
    the joint belief about the regime before and the present one.
    """

    weight: Float[Array, " regimes"]
    first: Float[Array, " regimes"]
    second: Float[Array, " regimes"]
    pairs: Float[Array, "regimes regimes"]


def transitions(holding: Float[Array, " regimes"], present: Float[Array, " regimes"]) -> Float[Array, "regimes regimes"]:
    """Transitions between regimes that last so many bars on average, and change to each of the others alike.

    Args:
      holding: `[3]`, at least 1.
      present: `[3]`, 1 for a regime that exists, else 0; at least two exist.
    """
    others = present[None, :] * (1 - jnp.eye(len(REGIMES)))
    leave = 1 / holding[:, None]
    return (1 - leave) * jnp.eye(len(REGIMES)) + leave * others / jnp.maximum(others.sum(1, keepdims=True), 1.0)


def typical() -> Regimes:
    """Regimes as they are on average over markets."""
    count = len(REGIMES)
    change = transitions(jnp.full(count, TYPICAL_HOLDING), jnp.ones(count))
    return Regimes(drift=jnp.float32(TYPICAL_DRIFT), volatility=jnp.float32(TYPICAL_VOLATILITY), change=change)


def first_sums(regimes: Regimes, *, bars: float) -> Sums:
    """The sums that so many bars of known regimes would have given, all regimes alike."""
    weight = jnp.full(len(REGIMES), bars / len(REGIMES))
    square = jnp.square(regimes.volatility) + jnp.square(regimes.drift)
    pairs = weight[:, None] * regimes.change
    return Sums(weight=weight, first=weight * regimes.drift, second=weight * square, pairs=pairs)


def learned(sums: Sums) -> Regimes:
    """The parameters that are likeliest for these sums."""
    drift = sums.first / sums.weight
    variance = jnp.maximum(sums.second / sums.weight - jnp.square(drift), _LEAST)
    change = sums.pairs / sums.pairs.sum(1, keepdims=True)
    return Regimes(drift=drift, volatility=jnp.sqrt(variance), change=change)


def joint_after(belief: Float[Array, " regimes"], regimes: Regimes, value: Float[Array, ""]) -> Float[Array, "regimes regimes"]:
    """The joint belief about the regimes of the bar before and of this one, after the return of this bar.

    Args:
      belief: `[3]`, about the bar before, given all returns up to it.
      regimes: the parameters.
      value: `[]`, the return of this bar.
    """
    score = -0.5 * jnp.square((value - regimes.drift) / regimes.volatility) - jnp.log(regimes.volatility)
    likelihood = jnp.exp(score - score.max())
    joint = belief[:, None] * regimes.change * likelihood[None, :] + 1e-12
    return joint / joint.sum()


def summed(sums: Sums, joint: Float[Array, "regimes regimes"], value: Float[Array, ""], *, kept: float) -> Sums:
    """The sums after one more bar; older ones fade by the factor `kept`."""
    now = joint.sum(0)
    return Sums(
        weight=kept * sums.weight + now,
        first=kept * sums.first + now * value,
        second=kept * sums.second + now * jnp.square(value),
        pairs=kept * sums.pairs + joint,
    )


def expected_return(belief: Float[Array, " regimes"], regimes: Regimes) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and variance of the return of the next bar."""
    following = belief @ regimes.change
    mean = following @ regimes.drift
    square = following @ (jnp.square(regimes.volatility) + jnp.square(regimes.drift))
    return mean, square - jnp.square(mean)


def growth(
    positions: Float[np.ndarray | Array, " levels"], mean: Float[Array, ""], variance: Float[Array, ""]
) -> Float[Array, " levels"]:
    """Expected logarithm of the growth in one bar, for each position w, to second order: w μ - w² (σ² + μ²) / 2."""
    held = jnp.asarray(positions)
    return held * mean - 0.5 * jnp.square(held) * (variance + jnp.square(mean))
