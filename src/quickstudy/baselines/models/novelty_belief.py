"""What counts say about lifts, if one knows that new variants are liked better at first and that conversions come late.

The belief is a mixture over hypotheses: which lifts are exactly 0, how fast novelty fades, and how fast conversions become
known. Given a hypothesis, the belief about the seven numbers

    θ = [base, weekday sine, weekday cosine, lift 1, lift 2, novelty 1, novelty 2]        log-odds

is Gaussian. The count y of a variant that becomes known on a day is Poisson with the mean e^η. η is taken to be linear in θ,
around the means of the days on which the users came. So only the distribution of η changes, in one direction of θ:

    η* = argmax  y η - e^η - (η - m)² / 2v        m, v: mean and variance of η before
    mean += g (η* - m) / v,    covariance -= g gᵀ e^η* / (1 + v e^η*)        g: covariance of θ and η

and the hypothesis is weighed by Laplace's approximation of the probability of y. Three approximations are left: η is linear,
a novelty is Gaussian rather than half-normal, and rates of fading and of arrival lie on grids.
"""

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import polygamma, psi

from quickstudy.baselines.models.daily_variants import VARIANTS, Counts, DailyVariants, regressors
from quickstudy.protocol.records import record

_NUMBERS, _GRID = 3 + 2 * (VARIANTS - 1), 2
_STEPS_OF_NEWTON = 5
_LIFT, _NOVELTY = 3, 5
_LEAST = 1e-6


@record
class NoveltyBelief:
    """The mixture. `log_weights` `[hypotheses]`; `mean`, `covariance` of θ.

    Of the conversions that are still to come, e^base taken out, there are for each variant the expected number `waiting`
    `[hypotheses, variants]`, the sum `slopes` of their derivatives by θ, and the sum `offsets` of slopes · mean.
    """

    log_weights: Float[Array, " hypotheses"]
    mean: Float[Array, "hypotheses numbers"]
    covariance: Float[Array, "hypotheses numbers numbers"]
    waiting: Float[Array, "hypotheses variants"]
    slopes: Float[Array, "hypotheses variants numbers"]
    offsets: Float[Array, "hypotheses variants"]


class Hypotheses:
    """The hypotheses of a prior, as arrays: `nulls` `[h, 2]`, `fades` `[h]` in days, `arrives` `[h]`, `log_prior` `[h]`."""

    def __init__(self, settings: DailyVariants) -> None:
        places = (np.arange(_GRID) + 0.5) / _GRID
        fades = np.unique(settings.fade_low + (settings.fade_high - settings.fade_low) * places)
        arrives = np.unique(1 / (1 + settings.longest_delay * places))
        patterns = list(itertools.product((False, True), repeat=VARIANTS - 1))
        every = list(itertools.product(patterns, fades, arrives))
        self.nulls = np.asarray([one[0] for one in every])
        self.fades = np.asarray([one[1] for one in every], np.float32)
        self.arrives = np.asarray([one[2] for one in every], np.float32)
        share = np.clip(settings.null_share, _LEAST, 1 - _LEAST)
        self.log_prior = np.where(self.nulls, np.log(share), np.log(1 - share)).sum(1).astype(np.float32)


def first_belief(settings: DailyVariants) -> NoveltyBelief:
    """The belief before the first day."""
    hypotheses = Hypotheses(settings)
    count = len(hypotheses.fades)
    alpha, beta = settings.base_rate_alpha, settings.base_rate_beta
    novelty = settings.novelty_deviation
    half_normal = (2 / np.pi) ** 0.5
    # Log-odds of a Beta distribution have the mean ψ(α) - ψ(β) and the variance ψ'(α) + ψ'(β).
    mean = np.asarray([psi(alpha) - psi(beta), 0, 0, 0, 0, novelty * half_normal, novelty * half_normal])
    base, week = (polygamma(1, alpha) + polygamma(1, beta)) ** 0.5, settings.weekday_deviation
    lift, spread = settings.lift_deviation, novelty * (1 - half_normal**2) ** 0.5
    deviations = np.tile(np.asarray([base, week, week, lift, lift, spread, spread]), (count, 1))
    deviations[:, _LIFT:_NOVELTY] = np.where(hypotheses.nulls, 0.0, lift)
    return NoveltyBelief(
        log_weights=jnp.asarray(hypotheses.log_prior),
        mean=jnp.broadcast_to(jnp.float32(mean), (count, _NUMBERS)),
        covariance=jnp.float32(deviations[:, :, None] ** 2 * np.eye(_NUMBERS)),
        waiting=jnp.zeros((count, VARIANTS)),
        slopes=jnp.zeros((count, VARIANTS, _NUMBERS)),
        offsets=jnp.zeros((count, VARIANTS)),
    )


def after_day(
    belief: NoveltyBelief, counts: Counts, users: Float[Array, " variants"], newly: Float[Array, " variants"], known: Hypotheses
) -> NoveltyBelief:
    """The belief after a day.

    Args:
      belief: before it.
      counts: before it.
      users: who came on the day.
      newly: conversions that became known on the day.
      known: the hypotheses of the belief.
    """
    age = jnp.maximum(counts.age, 0.0)  # on the first day a variant is of age 0

    def of_one(belief: NoveltyBelief, fade: Array, arrives: Array) -> NoveltyBelief:
        x = regressors(counts.day, jnp.exp(-age / fade))
        odds = (x * belief.mean[None]).sum(1)
        # e^base is taken out, so that what is waiting stays right while the base is learned.
        rate, base = jax.nn.sigmoid(odds), belief.mean[0]
        expected = users * rate * jnp.exp(-base)
        slopes = belief.slopes + expected[:, None] * ((1 - rate)[:, None] * x - jax.nn.one_hot(0, _NUMBERS)[None])
        offsets = belief.offsets + ((slopes - belief.slopes) * belief.mean[None]).sum(1)
        came = dataclasses.replace(belief, waiting=belief.waiting + expected, slopes=slopes, offsets=offsets)
        learned, _ = jax.lax.scan(partial(_after_count, arrives=arrives), came, (jnp.arange(VARIANTS), newly))
        left = 1 - arrives
        return dataclasses.replace(learned, waiting=left * came.waiting, slopes=left * came.slopes, offsets=left * came.offsets)

    after = jax.vmap(of_one)(belief, jnp.asarray(known.fades), jnp.asarray(known.arrives))
    return dataclasses.replace(after, log_weights=jax.nn.log_softmax(after.log_weights))


def _after_count(belief: NoveltyBelief, new: tuple[Array, Array], *, arrives: Array) -> tuple[NoveltyBelief, None]:
    """One hypothesis after the count of one variant. Where nobody can convert, nothing is learned."""
    variant, count = new
    waiting = belief.waiting[variant]
    shown, known = waiting > _LEAST, jnp.maximum(waiting, _LEAST)
    direction = jax.nn.one_hot(0, _NUMBERS) + belief.slopes[variant] / known
    offset = jnp.log(arrives * known) - belief.offsets[variant] / known
    gain = (belief.covariance * direction[None]).sum(1)
    before, variance = offset + (direction * belief.mean).sum(), (direction * gain).sum() + 1e-9
    found = jnp.maximum(before, jnp.log(count + 0.5))  # Newton's method converges from above
    for _ in range(_STEPS_OF_NEWTON):
        slope = jnp.exp(found) - count + (found - before) / variance
        found = found - slope / (jnp.exp(found) + 1 / variance)
    curved = variance * jnp.exp(found)
    log_chance = count * found - jnp.exp(found) - jnp.square(found - before) / (2 * variance) - jnp.log1p(curved) / 2
    kept = gain[:, None] * gain[None, :] * (jnp.exp(found) / (1 + curved))
    learned = dataclasses.replace(
        belief,
        log_weights=belief.log_weights + jnp.where(shown, log_chance, 0.0),
        mean=belief.mean + jnp.where(shown, gain * (found - before) / variance, 0.0),
        covariance=belief.covariance - jnp.where(shown, kept, 0.0),
    )
    return learned, None


def summary(belief: NoveltyBelief, counts: Counts, known: Hypotheses, settings: DailyVariants) -> Float[Array, " summary"]:
    """The numbers of a belief that an observation shows.

        of each pair of variants in `CONTRASTS`: mean and standard deviation of the difference over the days that are left,
        of each pair: mean and standard deviation of the long-run difference        all four as parts of the lift's deviation
        probability that lift 1 is 0, and lift 2; base + 3; fade / 10; arrives; days left / days

    The difference over the days left is that of lift and novelty, if the pair is shown from now on, as a mean over these days.

    Args:
      belief: before the day.
      counts: before the day.
      known: the hypotheses of the belief.
      settings: of the tasks.
    """
    weights = jax.nn.softmax(belief.log_weights)
    left = jnp.maximum(settings.days - counts.day, 1.0)
    fades = jnp.asarray(known.fades)[:, None]
    # Σ_{j < left} exp(-(age + j) / fade) / left; a variant that was never shown begins at age 0.
    start = jnp.exp(-jnp.maximum(counts.age, 0.0)[None] / fades)
    fresh = start * -jnp.expm1(-left / fades) / -jnp.expm1(-1 / fades) / left
    parts = []
    for novel in (fresh[:, 1:], jnp.zeros_like(fresh[:, 1:])):
        means, variances = _differences(belief, novel)
        mean = (weights[:, None] * means).sum(0)
        spread = jnp.sqrt(jnp.maximum((weights[:, None] * (variances + jnp.square(means - mean[None]))).sum(0), 0.0))
        parts += [mean / settings.lift_deviation, spread / settings.lift_deviation]
    nulls = (weights[:, None] * jnp.asarray(known.nulls, jnp.float32)).sum(0)
    others = [
        (weights * belief.mean[:, 0]).sum() + 3,
        (weights * fades[:, 0]).sum() / 10,
        (weights * jnp.asarray(known.arrives)).sum(),
        left / settings.days,
    ]
    return jnp.concatenate([*parts, nulls, jnp.stack(others)])


def _differences(belief: NoveltyBelief, novel: Float[Array, "hypotheses 2"]) -> tuple[Array, Array]:
    """Means and variances `[hypotheses, pairs]` of lift + novel · novelty: variants 1, 2 against the control, 2 against 1."""
    lift, novelty = slice(_LIFT, _NOVELTY), slice(_NOVELTY, _NUMBERS)
    of_lifts, mixed = belief.covariance[:, lift, lift], belief.covariance[:, lift, novelty] * novel[:, None, :]
    of_novelties = belief.covariance[:, novelty, novelty] * novel[:, :, None] * novel[:, None, :]
    together = of_lifts + mixed + jnp.swapaxes(mixed, 1, 2) + of_novelties
    means = belief.mean[:, lift] + novel * belief.mean[:, novelty]
    first, second, both = together[:, 0, 0], together[:, 1, 1], together[:, 0, 1]
    return (
        jnp.concatenate([means, means[:, 1:] - means[:, :1]], axis=1),
        jnp.stack([first, second, first + second - 2 * both], axis=1),
    )
