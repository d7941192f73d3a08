"""Distributions of hidden quantities, estimated from many counts by maximum marginal likelihood.

    base rate     x_i ~ Binomial(n_i, p_i)                    p_i ~ Beta(α, β)
    lift          y_i ~ Binomial(m_i, σ(logit p_i + d_i))     d_i = 0 with probability ν, else ~ N(0, τ²)

Hidden quantities are summed over grids in log-odds, with 64 bits. A grid needs no special functions, and it cannot diverge.

Source: Robbins 1956 for the idea; the mixture with exact nulls is that of Azevedo et al. 2020 with normal lifts. Changed: base
rates are estimated from the controls alone, and the treatments of one test are taken as independent given its control.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

RATES = np.linspace(-11.0, 4.0, 1501)
"""Grid of rates, in log-odds: 0.00002 to 0.98, in steps of 0.01."""
LIFTS = np.linspace(-3.0, 3.0, 601)
"""Grid of lifts, in log-odds; the same step."""
_DEVIATIONS = np.geomspace(0.01, 1.5, 90)
_NULLS = np.linspace(0.0, 1.0, 101)
_ROUNDS, _PLACES = 5, 21
_DROP = 1.92
"""Log-likelihood that an end of a 95 % profile interval lies below the maximum: half the 95 % quantile of χ² with 1 degree."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetaFit:
    """`alpha`, `beta` of the Beta distribution; `log_likelihood`, in nats, up to a constant that depends on the data only."""

    alpha: float
    beta: float
    log_likelihood: float

    @property
    def mean(self) -> float:
        """Of the distribution."""
        return self.alpha / (self.alpha + self.beta)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiftFit:
    """`deviation` τ of lifts that are not null, in log-odds; `null_share` ν; 95 % profile intervals of both."""

    deviation: float
    null_share: float
    deviation_interval: tuple[float, float]
    null_share_interval: tuple[float, float]
    log_likelihood: float


def fit_beta(counts: Float[np.ndarray, " tasks"], successes: Float[np.ndarray, " tasks"]) -> BetaFit:
    """The Beta distribution of rates with the largest marginal likelihood.

    Args:
      counts: trials of each task.
      successes: of them, at most as many.
    """
    likelihood = _likelihoods(counts, successes)
    raw = (successes.sum() + 0.5) / (counts.sum() + 1.0)
    centre, width = np.asarray([np.log(raw / (1 - raw)), np.log(50.0)]), np.asarray([1.5, 5.0])
    best = -np.inf
    for _ in range(_ROUNDS):  # each round looks at a grid around the best of the one before
        offsets = np.linspace(-1.0, 1.0, _PLACES)
        mean = 1 / (1 + np.exp(-(centre[0] + width[0] * offsets)))
        total = np.exp(np.clip(centre[1] + width[1] * offsets, -3.0, 14.0))
        alpha, beta = (np.outer(part, total).ravel() for part in (mean, 1 - mean))
        found = np.log(np.maximum(likelihood[0] @ beta_weights(alpha, beta).T, 1e-300)).sum(0) + likelihood[1]
        place = int(found.argmax())
        best, at = float(found[place]), (place // _PLACES, place % _PLACES)
        fitted = alpha[place], beta[place]
        centre = centre + width * offsets[list(at)]
        width = width * 3 / _PLACES
    return BetaFit(alpha=float(fitted[0]), beta=float(fitted[1]), log_likelihood=best)


def beta_weights(alpha: Float[np.ndarray, " fits"], beta: Float[np.ndarray, " fits"]) -> Float[np.ndarray, "fits rates"]:
    """Probabilities of the rates of the grid under Beta distributions; each row sums to one."""
    log_rate, log_rest = -np.logaddexp(0, -RATES), -np.logaddexp(0, RATES)
    logs = np.asarray(alpha)[:, None] * log_rate + np.asarray(beta)[:, None] * log_rest  # the Jacobian adds one to α and β
    weights = np.exp(logs - logs.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def lift_likelihoods(
    rates: BetaFit,
    controls: tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]],
    treatments: tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]],
) -> Float[np.ndarray, "pairs lifts"]:
    """The likelihood of each lift of the grid, for pairs of a control and a treatment; the largest of a pair is 1.

    Args:
      rates: the prior of the control's rate.
      controls: trials and successes.
      treatments: trials and successes.
    """
    prior = beta_weights(np.asarray([rates.alpha]), np.asarray([rates.beta]))[0]
    control, _ = _likelihoods(*controls)
    treatment, _ = _likelihoods(*treatments)
    known = control * prior
    size, half = len(RATES) + len(LIFTS) - 1, len(LIFTS) // 2
    # Correlation: Σ_l known(l) treatment(l + d), for every lift d of the grid.
    spectrum = np.conj(np.fft.rfft(known, size, axis=1)) * np.fft.rfft(treatment, size, axis=1)
    turned = np.fft.irfft(spectrum, size, axis=1)
    found = np.concatenate([turned[:, -half:], turned[:, : half + 1]], axis=1)
    found = np.maximum(found, 0.0)
    return found / np.maximum(found.max(1, keepdims=True), 1e-300)


def fit_lifts(likelihoods: Float[np.ndarray, "pairs lifts"]) -> LiftFit:
    """Deviation and share of nulls with the largest marginal likelihood.

    Args:
      likelihoods: as `lift_likelihoods` gives them.
    """
    normal = lift_weights(_DEVIATIONS)
    of_normal = np.maximum(likelihoods @ normal.T, 1e-300)
    of_null = np.maximum(likelihoods[:, len(LIFTS) // 2], 1e-300)
    # One share after another: all at once would take a hundred times the memory.
    found = np.stack([np.log(null * of_null[:, None] + (1 - null) * of_normal + 1e-300).sum(0) for null in _NULLS], axis=1)
    place = np.unravel_index(int(found.argmax()), found.shape)
    near = found >= found.max() - _DROP
    deviations, nulls = _DEVIATIONS[near.any(1)], _NULLS[near.any(0)]
    return LiftFit(
        deviation=float(_DEVIATIONS[place[0]]),
        null_share=float(_NULLS[place[1]]),
        deviation_interval=(float(deviations[0]), float(deviations[-1])),
        null_share_interval=(float(nulls[0]), float(nulls[-1])),
        log_likelihood=float(found.max()),
    )


def lift_weights(deviations: Float[np.ndarray, " fits"]) -> Float[np.ndarray, "fits lifts"]:
    """Probabilities of the lifts of the grid under normal distributions around 0; each row sums to one."""
    weights = np.exp(-0.5 * (LIFTS[None] / np.asarray(deviations)[:, None]) ** 2)
    return weights / weights.sum(1, keepdims=True)


def _likelihoods(
    counts: Float[np.ndarray, " tasks"], successes: Float[np.ndarray, " tasks"]
) -> tuple[Float[np.ndarray, "tasks rates"], float]:
    """Binomial likelihoods of every rate of the grid, the largest of a task 1; and the sum of the logarithms of these."""
    counts, successes = np.asarray(counts, np.float64)[:, None], np.asarray(successes, np.float64)[:, None]
    logs = successes * -np.logaddexp(0, -RATES) + (counts - successes) * -np.logaddexp(0, RATES)
    largest = logs.max(1, keepdims=True)
    return np.exp(logs - largest), float(largest.sum())
