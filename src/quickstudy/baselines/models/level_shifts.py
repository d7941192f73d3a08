"""Independent noise around a level that is drawn anew at unknown times: the exact belief about the level.

    value = level + N(0, σ²)        level = N(0, (τ σ)²), drawn anew with the probability h at each step

Given the first step of the regime, the level is Gaussian. So the belief is a mixture, with one part for each possible length of
the present regime. The parts of the longest regimes are one part.

Source: Adams & MacKay 2007, algorithm 1, with a Gaussian level of known noise. Changed: lengths are limited.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.protocol.records import record

LENGTHS = 64
"""The longest regime that is told apart from longer ones, in steps."""
HAZARD, SIZE = 0.025, 3.0
"""h, and τ in standard deviations of the noise, unless settings give others."""


@record
class RunLengths:
    """The belief about the level, for each possible length of the present regime.

    `log_weight` `[lengths]`: log-probability of the length, 0 steps first. `mean`, `variance` `[lengths]`: of the level, if
    that is the length; in the unit of values, and its square.
    """

    log_weight: Float[Array, " lengths"]
    mean: Float[Array, " lengths"]
    variance: Float[Array, " lengths"]


def noise_of(hazard: float, size: float) -> float:
    """σ in units of the mean absolute change from step to step, of this h and τ."""
    within, across = math.sqrt(2), math.sqrt(2 + 2 * size**2)
    return 1 / (math.sqrt(2 / math.pi) * ((1 - hazard) * within + hazard * across))


def begin(noise: float, size: float) -> RunLengths:
    """The belief before the first value: a regime of no steps."""
    variance = jnp.full(LENGTHS, (size * noise) ** 2)
    log_weight = jnp.full(LENGTHS, -jnp.inf).at[0].set(0.0)
    return RunLengths(log_weight=log_weight, mean=jnp.zeros(LENGTHS), variance=variance)


def expected_level(belief: RunLengths) -> Float[Array, ""]:
    """The mean of the level of the next value, over all lengths."""
    return jnp.exp(belief.log_weight) @ belief.mean


def take_in(belief: RunLengths, value: Float[Array, ""], *, noise: float, hazard: float, size: float) -> RunLengths:
    """The belief about the level of the *next* value after a value `[]`."""
    spread = belief.variance + noise**2
    log_likelihood = -0.5 * (jnp.log(spread) + jnp.square(value - belief.mean) / spread)
    log_weight = jax.nn.log_softmax(belief.log_weight + log_likelihood)
    gain = belief.variance / spread
    mean, variance = belief.mean + gain * (value - belief.mean), belief.variance * (1 - gain)
    goes_on = log_weight + _log(1 - hazard)
    last = jnp.logaddexp(goes_on[-2], goes_on[-1])
    return RunLengths(
        log_weight=jnp.concatenate([jnp.full(1, _log(hazard)), goes_on[:-2], last[None]]),
        mean=_shifted(mean, 0.0, goes_on),
        variance=_shifted(variance, (size * noise) ** 2, goes_on),
    )


def _log(probability: float) -> float:
    """The logarithm of a probability, which may be 0: levels may never shift, or at each step."""
    return math.log(probability) if probability > 0 else -math.inf


def _shifted(numbers: Float[Array, " lengths"], first: float, log_weight: Float[Array, " lengths"]) -> Float[Array, " lengths"]:
    """Every number one length further; the last two are averaged by their weights."""
    share = jax.nn.sigmoid(log_weight[-1] - log_weight[-2])
    share = jnp.where(jnp.isfinite(log_weight[-1]), share, 0.0)
    joined = numbers[-2] + share * (numbers[-1] - numbers[-2])
    return jnp.concatenate([jnp.full(1, first), numbers[:-2], joined[None]])
