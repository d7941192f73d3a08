"""Off-policy evaluation: what another policy would have earned, from decisions that were logged with their probability.

    weight    ρ = target probability of the action / logged probability of the action
    IPS       Σ_t ρ_t r_t                                            of a session
    SNIPS     Σ_i Σ_t ρ_t r_t / Σ_i Σ_t ρ_t · decisions of a session
    DM        Σ_t q(x_t, target)
    DR        Σ_t [q(x_t, target) + ρ_t (r_t − q(x_t, a_t))]
    SWITCH-DR as DR, without the second term where ρ_t is above a limit

Sessions are the independent units: an agent that adapts chooses by what happened before in its session, so decisions of one
session depend on one another. Intervals are those of means over sessions, with Student's t. The estimators assume that what is
observed and earned at a step does not depend on the actions before it, as in a bandit.

Sources: Swaminathan and Joachims 2015 (SNIPS); Dudík et al. 2011 (DR); Wang et al. 2017 (SWITCH). Changed: sums over sessions.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from quickstudy.protocol.errors import UsageError

LEAST_EFFECTIVE_SESSIONS = 30.0
_LEVEL = 0.95
_UNSUPPORTED = 4.0
"""Standard errors by which the mean weight may differ from 1 before support is said to be missing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyEstimate:
    """The return of a session under the target policy, reward units, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyReport:
    """Estimates by name, and how far the log supports them.

    Args:
      estimates: IPS and SNIPS; also DM, DR and SWITCH-DR where a reward model was given.
      effective_sessions: (Σ w)² / Σ w² of the sessions' summed weights, at most the number of sessions.
      largest_weight: of one decision.
      mean_weight: 1 in expectation; below 1 where the target takes actions that the log never takes.
    """

    estimates: dict[str, OffPolicyEstimate]
    effective_sessions: float
    largest_weight: float
    mean_weight: float


def off_policy_value(
    rewards: Float[np.ndarray, "sessions T"],
    logged: Float[np.ndarray, "sessions T"],
    target: Float[np.ndarray, "sessions T"],
    *,
    valid: Bool[np.ndarray, "sessions T"],
    predicted: Float[np.ndarray, "sessions T"] | None = None,
    predicted_target: Float[np.ndarray, "sessions T"] | None = None,
    most_weight: float = 10.0,
) -> OffPolicyReport:
    """What a target policy would have earned in the sessions of a log.

    Args:
      rewards: of the logged actions, reward units.
      logged: probability with which the logged action was chosen, in (0, 1].
      target: probability with which the target policy chooses the logged action, in [0, 1].
      valid: decisions that count; the others may hold anything.
      predicted: a reward model's reward of the logged action. It must not be fitted to these sessions.
      predicted_target: its mean reward under the target policy.
      most_weight: limit of the weights in SWITCH-DR.
    Returns:
      Returns of a session, not discounted.
    Raises:
      UsageError: probabilities that are none, sessions that differ in length, or a log that does not support the target
        policy: fewer than 30 effective sessions, or a mean weight that is not 1.
    """
    _check(logged, target, valid, predicted, predicted_target)
    weights = np.where(valid, target / np.where(valid, logged, 1.0), 0.0)
    reward = np.where(valid, rewards, 0.0)
    sums, lengths = weights.sum(axis=1), valid.sum(axis=1)
    effective = float(sums.sum() ** 2 / max((sums**2).sum(), 1e-300))
    largest, mean = float(weights.max(initial=0.0)), float(sums.sum() / max(lengths.sum(), 1))
    if effective < LEAST_EFFECTIVE_SESSIONS:
        raise UsageError(
            f"the log does not support this policy: it is worth {effective:.1f} sessions, and {LEAST_EFFECTIVE_SESSIONS:g} are "
            f"needed (largest weight {largest:.3g}). Log more sessions, or compare a policy that is closer to the logged one."
        )
    ratio = sums - lengths
    error = float(ratio.std(ddof=1) / np.sqrt(len(ratio)))
    if abs(float(ratio.mean())) > _UNSUPPORTED * error + 1e-9:
        raise UsageError(
            f"the mean weight is {mean:.3f} and should be 1: this policy takes actions that were never logged, or the logged "
            "probabilities are wrong. Explore more, or compare another policy."
        )
    estimates = {
        "IPS": _mean((weights * reward).sum(axis=1)),
        "SNIPS": _ratio((weights * reward).sum(axis=1), sums, float(lengths.mean())),
    }
    if predicted is not None and predicted_target is not None:
        direct = np.where(valid, predicted_target, 0.0)
        residual = weights * np.where(valid, rewards - predicted, 0.0)
        estimates["DM"] = _mean(direct.sum(axis=1))
        estimates["DR"] = _mean((direct + residual).sum(axis=1))
        estimates["SWITCH-DR"] = _mean((direct + np.where(weights <= most_weight, residual, 0.0)).sum(axis=1))
    return OffPolicyReport(estimates=estimates, effective_sessions=effective, largest_weight=largest, mean_weight=mean)


def _check(
    logged: np.ndarray, target: np.ndarray, valid: np.ndarray, predicted: np.ndarray | None, predicted_target: np.ndarray | None
) -> None:
    counts = valid.sum(axis=1)
    if len(counts) < 2 or counts.min() < 1 or counts.min() != counts.max():
        raise UsageError("off-policy evaluation needs two sessions or more, all with the same number of valid decisions.")
    if not ((logged[valid] > 0) & (logged[valid] <= 1 + 1e-6)).all():
        raise UsageError("logged probabilities must be above 0 and at most 1. An agent without them cannot be evaluated so.")
    if not ((target[valid] >= 0) & (target[valid] <= 1 + 1e-6)).all():
        raise UsageError("target probabilities must be between 0 and 1.")
    if (predicted is None) != (predicted_target is None):
        raise UsageError("a reward model gives predicted and predicted_target, both or neither.")


def _mean(values: Float[np.ndarray, " sessions"]) -> OffPolicyEstimate:
    return _interval(float(values.mean()), float(values.std(ddof=1)), len(values))


def _ratio(
    numerators: Float[np.ndarray, " sessions"], denominators: Float[np.ndarray, " sessions"], length: float
) -> OffPolicyEstimate:
    """A ratio of two means, times the decisions of a session; its variance by the delta method."""
    ratio = float(numerators.sum() / denominators.sum())
    spread = (numerators - ratio * denominators) / denominators.mean()
    return _interval(length * ratio, length * float(spread.std(ddof=1)), len(numerators))


def _interval(value: float, deviation: float, count: int) -> OffPolicyEstimate:
    half = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1) * deviation / count**0.5)
    return OffPolicyEstimate(value=value, low=value - half, high=value + half)
