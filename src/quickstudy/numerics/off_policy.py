"""Off-policy evaluation: the return of another policy, from sessions that were logged with their probabilities.

    ratio       ρ_t = target probability of the logged action / logged probability, given what happened before in the session
    weight      W_t = ρ_0 ρ_1 ... ρ_t        W_{-1} = 1
    IPS         Σ_t W_t r_t                                                              of one session; the mean over sessions
    SNIPS       Σ_t (Σ_i W_it r_it / Σ_i W_it)                                           over sessions i
    DM          v_0                                                                      of one session; the mean
    DR          Σ_t [W_{t-1} v_t + W_t (r_t − q_t)]                                      of one session; the mean
    SWITCH-DR   as DR up to the first W_t above a limit; from there on the model alone

q_t is a model's remaining return after the logged action, and v_t its mean over the target's actions (`action_values.py`).

A decision depends on the history of its session. So the weight of a reward is the product of the ratios up to its decision, as
in per-decision importance sampling. The session is the independent unit: intervals are those of means over sessions, from
linearised values (the delta method). They use Student's t, with the effective sample size less 1 as degrees of freedom.

Sources: Precup et al. 2000 (per-decision importance sampling); Swaminathan and Joachims 2015 (SNIPS); Jiang and Li 2016 (DR
over steps); Wang et al. 2017 (SWITCH). Changed: SNIPS normalises each step; SWITCH looks at the product W_t, not at one ratio,
and stays with the model from there on.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from quickstudy.protocol.errors import UsageError

LEAST_EFFECTIVE_SESSIONS = 30.0
MOST_WEIGHT = 10.0
"""Limit of the weights in SWITCH-DR."""
_UPPER = 0.975
"""Quantile at the upper end of a 95 % interval."""
_UNSUPPORTED = 4.0
"""Standard errors by which the mean weight may differ from 1 before support is said to be missing."""
_ROUNDING = 1e-4
"""Difference of the mean weight from 1 that probabilities of 32 bits may make."""
_RARE = 3.0
"""Rule of three: an event that n sessions never show has a probability of at most 3 / n (at 95 % confidence)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyEstimate:
    """A return, reward units, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActionValues:
    """A model's remaining return under the target policy, reward units, given what happened before a decision.

    Args:
      chosen: after the logged action, with the reward of that decision.
      target: the mean of the same over the target policy's actions.
      direct: what the model says of each row in DM, linearised; `target` at the first decision if not given.
    """

    chosen: Float[np.ndarray, "rows T"]
    target: Float[np.ndarray, "rows T"]
    direct: Float[np.ndarray, " rows"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyReport:
    """Estimates by name, and how far the log supports them.

    Args:
      estimates: return of the target policy: IPS and SNIPS; also DM, DR and SWITCH-DR where action values were given.
      differences: the same estimates minus the return of the logged policy in the same sessions.
      logged: return of the logged policy.
      sessions: independent units.
      effective_sessions: (Σ W)² / Σ W² of the sessions' whole weights, at most the number of sessions.
      largest_weight: the largest W_t.
      mean_weight: of the whole weights; 1 in expectation, below 1 where the target takes actions that the log never takes.
      row_returns: by estimator `[rows]`, reward units; the linearised values whose mean is the estimate.
      session: `[rows]`, number of the session of each row.
    """

    estimates: dict[str, OffPolicyEstimate]
    differences: dict[str, OffPolicyEstimate]
    logged: OffPolicyEstimate
    sessions: int
    effective_sessions: float
    largest_weight: float
    mean_weight: float
    row_returns: dict[str, Float[np.ndarray, " rows"]]
    session: Int[np.ndarray, " rows"]

    @property
    def unsupported_share(self) -> float:
        """Estimated share of the target policy's sessions that take an action which the log never takes."""
        return max(0.0, 1.0 - self.mean_weight)


def off_policy_value(
    rewards: Float[np.ndarray, "rows T"],
    logged: Float[np.ndarray, "rows T"],
    target: Float[np.ndarray, "rows T"],
    *,
    valid: Bool[np.ndarray, "rows T"] | None = None,
    session: Int[np.ndarray, " rows"] | None = None,
    action_values: ActionValues | None = None,
    most_weight: float = MOST_WEIGHT,
    densities: bool = False,
) -> OffPolicyReport:
    """The return that a target policy would have had in the sessions of a log, with 95 % intervals over sessions.

    Args:
      rewards: of the logged actions, reward units, in the order of the decisions.
      logged: probability with which the logged action was chosen, given what happened before; above 0.
      target: probability with which the target policy would have chosen it, given the same.
      valid: decisions that were made; the others may hold anything. All if not given.
      session: number of the session of each row; rows of one session may depend on one another. Each row its own if not given.
      action_values: a model. The values of a row must come from a model that was fitted without the row's session.
      most_weight: limit of the weights in SWITCH-DR.
      densities: whether the probabilities are densities, which may exceed 1.
    Returns:
      Returns of a row, not discounted.
    Raises:
      UsageError: numbers that are no probabilities, fewer than two rows, or a log that does not support the target policy:
        an effective sample size below 30, or a mean weight that is not 1.
    Example:
      >>> fair = np.full((40, 1), 0.5)
      >>> report = off_policy_value(np.ones((40, 1)), fair, fair)
      >>> report.estimates["IPS"].value, report.effective_sessions
      (1.0, 40.0)
    """
    valid = np.ones(rewards.shape, bool) if valid is None else valid
    _check(rewards, logged, target, valid, action_values, densities=densities)
    sessions = _Sessions(np.arange(len(rewards)) if session is None else session)
    ratios = np.where(valid, target, 1.0) / np.where(valid, logged, 1.0)
    weights, reward = np.cumprod(ratios, axis=1, dtype=np.float64), np.where(valid, rewards, 0.0).astype(np.float64)
    effective = _supported(weights, sessions)
    returns = {"IPS": (weights * reward).sum(axis=1), "SNIPS": _self_normalised(weights, reward)}
    if action_values is not None:
        returns["DM"] = action_values.target[:, 0] if action_values.direct is None else action_values.direct
        returns["DR"] = _corrected(weights, reward, valid, action_values, most_weight=np.inf)
        returns["SWITCH-DR"] = _corrected(weights, reward, valid, action_values, most_weight=most_weight)
    logged_returns = reward.sum(axis=1)
    return OffPolicyReport(
        estimates={name: sessions.mean(values, freedom=effective - 1) for name, values in returns.items()},
        differences={name: sessions.mean(values - logged_returns, freedom=effective - 1) for name, values in returns.items()},
        logged=sessions.mean(logged_returns, freedom=sessions.count - 1),
        sessions=sessions.count,
        effective_sessions=effective,
        largest_weight=float(weights.max()),
        mean_weight=float(weights[:, -1].mean()),
        row_returns=returns,
        session=sessions.number,
    )


def policy_differences(first: OffPolicyReport, second: OffPolicyReport) -> dict[str, OffPolicyEstimate]:
    """The second policy's return minus the first's, by estimator, with 95 % intervals over sessions.

    Both were valued on the same sessions. So their returns are subtracted row by row, and what both share cancels.

    Args:
      first, second: reports on the same rows.
    Returns:
      The estimators that both reports have. Degrees of freedom are those of the report with fewer effective sessions.
    Raises:
      UsageError: the reports are on other rows.
    Example:
      >>> fair = np.full((40, 1), 0.5)
      >>> report = off_policy_value(np.ones((40, 1)), fair, fair)
      >>> policy_differences(report, report)["IPS"].value
      0.0
    """
    if not np.array_equal(first.session, second.session):
        raise UsageError(
            f"two policies are compared on the same sessions; came {len(first.session)} lifetimes and {len(second.session)} of "
            "other ones. Value both on one log."
        )
    sessions, freedom = _Sessions(first.session), min(first.effective_sessions, second.effective_sessions) - 1
    shared = [name for name in first.row_returns if name in second.row_returns]
    return {name: sessions.mean(second.row_returns[name] - first.row_returns[name], freedom=freedom) for name in shared}


class _Sessions:
    """Rows by session, and means over rows with intervals over sessions.

    Args:
      number: of the session of each row.
    """

    def __init__(self, number: Int[np.ndarray, " rows"]):
        self.number = np.unique(number, return_inverse=True)[1]
        self.rows = np.bincount(self.number).astype(np.float64)
        self.count = len(self.rows)

    def sums(self, values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " sessions"]:
        """The sum of the rows of each session."""
        return np.bincount(self.number, weights=values, minlength=self.count)

    def effective(self, weights: Float[np.ndarray, " rows"]) -> float:
        """(Σ W)² / Σ W² over the summed weights of the sessions."""
        sums = self.sums(weights)
        return float(sums.sum() ** 2 / max(float((sums**2).sum()), np.finfo(np.float64).tiny))

    def error(self, values: Float[np.ndarray, " rows"]) -> float:
        """Standard error of the mean over rows, which is a ratio of two means over sessions."""
        linearised = (self.sums(values) - values.mean() * self.rows) / self.rows.mean()
        return float(linearised.std(ddof=1) / self.count**0.5)

    def mean(self, values: Float[np.ndarray, " rows"], *, freedom: float) -> OffPolicyEstimate:
        """The mean over rows, with its 95 % interval."""
        value = float(values.mean())
        half = float(stats.t.ppf(_UPPER, freedom)) * self.error(values)
        return OffPolicyEstimate(value=value, low=value - half, high=value + half)


def _self_normalised(weights: Float[np.ndarray, "rows T"], reward: Float[np.ndarray, "rows T"]) -> Float[np.ndarray, " rows"]:
    """Linearised values of SNIPS: their mean is SNIPS itself."""
    means = (weights * reward).sum(axis=0) / weights.sum(axis=0)
    return (weights * (reward - means) / weights.mean(axis=0) + means).sum(axis=1)


def _corrected(
    weights: Float[np.ndarray, "rows T"],
    reward: Float[np.ndarray, "rows T"],
    valid: Bool[np.ndarray, "rows T"],
    values: ActionValues,
    *,
    most_weight: float,
) -> Float[np.ndarray, " rows"]:
    """DR of every row; from the first weight above a limit on, the model alone gives the values."""
    followed = np.logical_and.accumulate(weights <= most_weight, axis=1)
    kept = np.where(followed, weights, 0.0)
    before = np.concatenate([np.ones((len(kept), 1)), kept[:, :-1]], axis=1)
    terms = before * values.target + kept * (reward - values.chosen)
    return np.where(valid, terms, 0.0).sum(axis=1)


def _supported(weights: Float[np.ndarray, "rows T"], sessions: _Sessions) -> float:
    """The effective sample size.

    Raises:
      UsageError: it is too small, or the mean weight is not 1.
    """
    by_length = [sessions.effective(weights[:, step]) for step in range(weights.shape[1])]
    effective, last = by_length[-1], weights[:, -1]
    mean, largest = float(last.mean()), float(weights.max())
    if mean == 0:
        raise UsageError(
            "the log does not support this policy: it gives probability 0 to every logged session, so all weights are 0. "
            "Log a policy that explores, or evaluate a policy that is closer to the logged one."
        )
    if effective < LEAST_EFFECTIVE_SESSIONS:
        steps = next((step for step, size in enumerate(by_length) if size < LEAST_EFFECTIVE_SESSIONS), 0)
        shorter = f"evaluate the first {steps} of {weights.shape[1]} decisions, log" if steps else "log"
        raise UsageError(
            f"the log does not support this policy: {sessions.count} sessions have an effective sample size of "
            f"{effective:.1f}, and at least {LEAST_EFFECTIVE_SESSIONS:g} is needed; the largest weight is {largest:.3g}. "
            f"To go on, {shorter} more sessions, or evaluate a policy that is closer to the logged one."
        )
    # Sessions that this policy avoids may be so rare in the log that none of them is there. Then the other weights are a little
    # above 1, and nearly equal, so their standard error does not show it.
    rare = _RARE / sessions.count if mean > 1 else 0.0
    if abs(mean - 1) > _UNSUPPORTED * sessions.error(last) + _ROUNDING + rare:
        cause = (
            f"an estimated {1 - mean:.1%} of this policy's sessions take an action that was never logged"
            if mean < 1
            else "the logged probabilities are too small"
        )
        raise UsageError(
            f"the log does not support this policy: the mean weight is {mean:.4g} and should be 1. Either {cause}, or the "
            "probabilities are wrong. Log a policy that tries every action, or evaluate another policy."
        )
    return effective


def _check(
    rewards: np.ndarray,
    logged: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray,
    values: ActionValues | None,
    *,
    densities: bool,
) -> None:
    if not rewards.shape[1] or len(rewards) < 2:
        raise UsageError(f"off-policy evaluation needs two sessions or more, with decisions; came {rewards.shape}.")
    most, name = (np.inf, "densities") if densities else (1 + 1e-5, "probabilities")
    limit = "finite" if densities else "at most 1"
    if not ((logged > 0) & (logged <= most) & np.isfinite(logged))[valid].all():
        raise UsageError(f"logged {name} must be above 0 and {limit}. A log without them supports no other policy.")
    if not ((target >= 0) & (target <= most) & np.isfinite(target))[valid].all():
        raise UsageError(f"target {name} must be at least 0 and {limit}; came others. Check the policy that gives them.")
    if not np.isfinite(rewards[valid]).all():
        raise UsageError("rewards must be finite numbers; came others. Leave out sessions whose rewards are unknown.")
    if values is not None and not all(np.isfinite(one[valid]).all() for one in (values.chosen, values.target)):
        raise UsageError("action values must be finite numbers; came others. Check the model that gives them.")
