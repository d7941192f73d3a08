"""Sessions of agents that adapt, in a bandit with known expected returns, and the coverage of intervals there."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from quickstudy.numerics.action_values import fitted_action_values
from quickstudy.numerics.off_policy import ActionValues, off_policy_value
from quickstudy.protocol.errors import UsageError

MEANS = np.array([0.1, 0.4, 0.8])
"""Probability that an arm pays 1, else it pays 0."""
ARMS = len(MEANS)
LOGGED = (2.0, 0.3)
"""Sharpness and exploration of the agent that was logged."""
Policy = tuple[float, float]


class SimulatedLog(NamedTuple):
    """Sessions `[sessions, steps]`; `target` `[sessions, steps, arms]` holds the other policy's probability of every arm."""

    rewards: np.ndarray
    actions: np.ndarray
    logged: np.ndarray
    target: np.ndarray


def chances(taken: np.ndarray, paid: np.ndarray, policy: Policy) -> np.ndarray:
    """The probability of every arm: a softmax of the mean rewards in this session, mixed with even chances."""
    sharpness, exploration = policy
    scores = np.exp(sharpness * (0.5 + paid) / (1 + taken))
    return exploration / ARMS + (1 - exploration) * scores / scores.sum(axis=-1, keepdims=True)


def simulated(
    random: np.random.Generator, *, sessions: int, steps: int, target: Policy, logged: Policy = LOGGED
) -> SimulatedLog:
    """Sessions of an agent that adapts, and what another one would have done in them."""
    taken, paid, rows = np.zeros((sessions, ARMS)), np.zeros((sessions, ARMS)), np.arange(sessions)
    columns = []
    for _ in range(steps):
        own, other = chances(taken, paid, logged), chances(taken, paid, target)
        action = (own.cumsum(axis=1) < random.random((sessions, 1))).sum(axis=1).clip(max=ARMS - 1)
        reward = (random.random(sessions) < MEANS[action]).astype(float)
        taken[rows, action] += 1
        paid[rows, action] += reward
        columns.append((reward, action, own[rows, action], other))
    return SimulatedLog(*(np.stack(one, axis=1) for one in zip(*columns, strict=True)))


def returns_by_histories(steps: int, policy: Policy) -> float:
    """The expected return of a policy, exactly, by a sum over all histories."""

    def remaining(taken: np.ndarray, paid: np.ndarray, left: int) -> float:
        if not left:
            return 0.0
        total = 0.0
        for arm, chance in enumerate(chances(taken, paid, policy)):
            one = np.eye(ARMS)[arm]
            won, lost = remaining(taken + one, paid + one, left - 1), remaining(taken + one, paid, left - 1)
            total += chance * (MEANS[arm] * (1 + won) + (1 - MEANS[arm]) * lost)
        return total

    return remaining(np.zeros(ARMS), np.zeros(ARMS), steps)


def coverage(*, sessions: int, steps: int, target: Policy, repetitions: int, seed: int, copies: int = 1) -> dict[str, float]:
    """How often 95 % intervals hold the true return, by estimator, and of estimators that are wrong.

    Args:
      sessions, steps: of each log.
      target: the policy that is evaluated.
      repetitions: logs.
      seed: of the logs.
      copies: rows of each session, which are equal: the strongest dependence that rows of one session can have.
    Returns:
      Shares; also `refused`, of logs that were refused, and `effective`, the mean effective sample size of the others.
    """
    random, true = np.random.default_rng(seed), returns_by_histories(steps, target)
    held: dict[str, list[float]] = defaultdict(list)
    session = np.tile(np.arange(sessions), copies)
    for _ in range(repetitions):
        once = simulated(random, sessions=sessions, steps=steps, target=target)
        log = SimulatedLog(*(np.concatenate([one] * copies) for one in once))
        taken = np.take_along_axis(log.target, log.actions[..., None], axis=2)[..., 0]
        model = fitted_action_values(log.target, log.actions, log.rewards, log.target, session=session)
        wrong = ActionValues(chosen=np.ones(log.rewards.shape), target=np.ones(log.rewards.shape))
        try:
            report = off_policy_value(log.rewards, log.logged, taken, session=session, action_values=model)
            misled = off_policy_value(log.rewards, log.logged, taken, session=session, action_values=wrong)
            apart = off_policy_value(log.rewards, log.logged, taken)
        except UsageError:
            held["refused"].append(1.0)
            continue
        held["refused"].append(0.0)
        held["effective"].append(report.effective_sessions)
        estimates = report.estimates | {
            "logged agent": report.logged,
            "DM, wrong model": misled.estimates["DM"],
            "DR, wrong model": misled.estimates["DR"],
            "IPS, rows as sessions": apart.estimates["IPS"],
        }
        for name, estimate in estimates.items():
            held[name].append(float(estimate.low <= true <= estimate.high))
    return {name: float(np.mean(values)) for name, values in held.items()}
