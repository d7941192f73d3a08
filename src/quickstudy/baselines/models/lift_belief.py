"""What counts say about the lifts of an A/B test, under a prior from past tests.

In units of the prior's standard deviation τ, the lift of a treatment is δ ~ N(0, 1), or exactly 0 with the probability π₀.
Counts show δ with the variance 1 / i, where i is their information. Then the slab of the posterior is N(u, s²), with

    s² = 1 / (1 + i)        u = s² i (estimate of δ)        odds of null = π₀ / (1 - π₀) · exp(-u² / (2 s²)) / s
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from quickstudy.baselines.models.ab_test import Experiment, rates, variances
from quickstudy.protocol.records import record


@record
class LiftBelief:
    """For each treatment `[treatments]`: u, s and the probability of null. `unit` `[]`: τ as a difference of rates."""

    mean: Float[Array, " treatments"]
    deviation: Float[Array, " treatments"]
    null: Float[Array, " treatments"]
    unit: Float[Array, ""]


def lift_belief(experiment: Experiment, *, lift_deviation: float, null_share: float) -> LiftBelief:
    """The posterior of every treatment's lift, from its comparison with the control alone.

    Args:
      experiment: the test so far.
      lift_deviation: τ, in log-odds.
      null_share: π₀, in [0, 1].
    """
    rate = (experiment.conversions.sum() + 0.5) / (experiment.users.sum() + 1)
    unit = lift_deviation * rate * (1 - rate)
    rate_of_each = rates(experiment)
    estimate = (rate_of_each[1:] - rate_of_each[0]) / unit
    information = jnp.square(unit) / variances(experiment)[1:]
    deviation = jax.lax.rsqrt(1 + information)
    mean = jnp.square(deviation) * information * estimate
    return LiftBelief(mean=mean, deviation=deviation, null=null_probability(mean, deviation, null_share), unit=unit)


def null_probability(mean: Array, deviation: Array, null_share: float) -> Array:
    """Probability that a lift is exactly 0, from u and s."""
    likelihood = jnp.exp(-jnp.square(mean / deviation) / 2) / deviation
    return null_share * likelihood / (null_share * likelihood + (1 - null_share) + 1e-30)


def expected_positive(mean: Array, deviation: Array) -> Array:
    """E max(x, 0) for x ~ N(mean, deviation²)."""
    ratio = mean / deviation
    return deviation * jnp.exp(-jnp.square(ratio) / 2) / jnp.sqrt(2 * jnp.pi) + mean * ndtr(ratio)


def ranked(belief: LiftBelief) -> tuple[Array, Array]:
    """The arm with the highest expected rate, and the expected loss of a user who is shown it, as a difference of rates.

    With several treatments, the loss is that against the most dangerous other arm.
    """
    slab = 1 - belief.null
    expected = jnp.concatenate([jnp.zeros(1), slab * belief.mean])
    best = jnp.argmax(expected).astype(jnp.int32)
    mean = jnp.concatenate([jnp.zeros(1), belief.mean])
    variance = jnp.concatenate([jnp.zeros(1), jnp.square(belief.deviation)])
    at_risk = jnp.concatenate([jnp.zeros(1), slab])
    weight = jnp.maximum(at_risk, at_risk[best])
    loss = weight * expected_positive(mean - mean[best], jnp.sqrt(variance + variance[best] + 1e-12))
    return best, belief.unit * jnp.where(jnp.arange(mean.shape[0]) == best, 0.0, loss).max()


def expected_conversions_lost(belief: LiftBelief, users: Float[Array, " arms"]) -> Float[Array, ""]:
    """Expected conversions that are lost against showing the better one of two arms to all users.

    Args:
      belief: about one treatment.
      users: `[2]`, how many were shown the control, and how many the treatment.
    Returns:
      `[]`, conversions.
    """
    better = expected_positive(belief.mean[0], belief.deviation[0])
    worse = expected_positive(-belief.mean[0], belief.deviation[0])
    return belief.unit * (1 - belief.null[0]) * (users[0] * better + users[1] * worse)


def expected_gap(belief: LiftBelief) -> Array:
    """Largest expected absolute difference of a treatment from the control, as a difference of rates."""
    apart = expected_positive(belief.mean, belief.deviation) + expected_positive(-belief.mean, belief.deviation)
    return belief.unit * ((1 - belief.null) * apart).max()
