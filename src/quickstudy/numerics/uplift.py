"""The uplift of an agent over its fallback, where chance gave some lifetimes to the fallback: a randomised experiment.

    uplift   m_a − m_f            m_a, m_f: mean returns of the lifetimes of the agent, and of the fallback
    lift     m_a / m_f − 1

Chance chooses each lifetime, and lifetimes of one session may depend on one another. So the session is the independent unit.
With n_as, r_as the number and the summed return of the agent's lifetimes in session s, and n̄_a the mean of n_as over sessions:

    d_as = (r_as − m_a n_as) / n̄_a        Var(m_a − m_f) = Var_s(d_as − d_fs) / S

Intervals use Student's t. Its degrees of freedom are the sessions of the smaller arm less 1. That is at most those of Welch's
test, so intervals are rather too wide than too narrow. The interval of the lift is that of the delta method.

Source: Cochran 1977, Sampling Techniques, 6.3 (ratio estimates over clusters). Changed: the difference of two ratios.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from quickstudy.protocol.errors import UsageError

LEAST_SESSIONS = 2
_UPPER = 0.975


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithInterval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uplift:
    """The return of the agent, compared with that of its fallback.

    Args:
      agent, fallback: mean return of a lifetime, reward units.
      difference: the uplift, reward units.
      lift: the uplift as a share of the fallback's return; None unless the whole interval of that return is above 0.
      agent_lifetimes, fallback_lifetimes: how many there are.
      agent_sessions, fallback_sessions: sessions with at least one of them.
    """

    agent: WithInterval
    fallback: WithInterval
    difference: WithInterval
    lift: WithInterval | None
    agent_lifetimes: int
    fallback_lifetimes: int
    agent_sessions: int
    fallback_sessions: int


def uplift_of(
    returns: Float[np.ndarray, " lifetimes"], held_back: Bool[np.ndarray, " lifetimes"], session: Int[np.ndarray, " lifetimes"]
) -> Uplift:
    """The uplift of the agent's lifetimes over those that were held back.

    Args:
      returns: of each lifetime, reward units.
      held_back: whether the fallback had the lifetime. Chance must have chosen it.
      session: number of the session of each lifetime.
    Raises:
      UsageError: an arm has fewer than two sessions.
    Example:
      >>> found = uplift_of(np.array([3.0, 5.0, 1.0, 3.0]), np.array([False, False, True, True]), np.arange(4))
      >>> found.difference.value
      2.0
    """
    names, number = np.unique(session, return_inverse=True)
    arms = {"agent": ~held_back, "fallback": held_back}
    counts = {name: np.bincount(number, weights=chosen.astype(float), minlength=len(names)) for name, chosen in arms.items()}
    sessions = {name: int((count > 0).sum()) for name, count in counts.items()}
    for name, count in sessions.items():
        if count < LEAST_SESSIONS:
            raise UsageError(
                f"an interval needs {LEAST_SESSIONS} or more sessions of agent and fallback each; the {name} has {count}. "
                "Wait for more sessions, or raise the holdback of the envelope."
            )
    means = {name: float(returns[chosen].mean()) for name, chosen in arms.items()}
    linearised = {
        name: (
            np.bincount(number, weights=np.where(chosen, returns - means[name], 0.0), minlength=len(names))
            / counts[name].mean()
        )
        for name, chosen in arms.items()
    }
    fewest = min(sessions.values())
    difference = _with_interval(means["agent"] - means["fallback"], linearised["agent"] - linearised["fallback"], fewest)
    each = {name: _with_interval(means[name], linearised[name], sessions[name]) for name in arms}
    lift = None
    if each["fallback"].low > 0:
        ratio = means["agent"] / means["fallback"]
        lift = _with_interval(ratio - 1, (linearised["agent"] - ratio * linearised["fallback"]) / means["fallback"], fewest)
    return Uplift(
        agent=each["agent"],
        fallback=each["fallback"],
        difference=difference,
        lift=lift,
        agent_lifetimes=int((~held_back).sum()),
        fallback_lifetimes=int(held_back.sum()),
        agent_sessions=sessions["agent"],
        fallback_sessions=sessions["fallback"],
    )


def _with_interval(value: float, linearised: Float[np.ndarray, " sessions"], fewest: int) -> WithInterval:
    """A value whose error is that of the mean of linearised values over sessions."""
    half = float(stats.t.ppf(_UPPER, fewest - 1)) * float(linearised.std(ddof=1)) / len(linearised) ** 0.5
    return WithInterval(value=value, low=value - half, high=value + half)
