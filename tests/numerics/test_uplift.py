"""The uplift of one arm over the other: numbers by hand, and the coverage of its interval."""

import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.uplift import uplift_of
from quickstudy.protocol.errors import UsageError


def test_with_one_lifetime_a_session_it_is_the_difference_of_two_means():
    ours, theirs = np.array([3.0, 5.0, 4.0, 8.0]), np.array([1.0, 3.0, 2.0])
    held_back = np.array([False] * 4 + [True] * 3)
    found = uplift_of(np.concatenate([ours, theirs]), held_back, np.arange(7))
    assert (found.agent.value, found.fallback.value, found.difference.value) == (5.0, 2.0, 3.0)
    # Squared deviations are 14 and 2. Linearised values are deviations times 7/4 and 7/3; their mean is 0.
    variance = (14 * (7 / 4) ** 2 + 2 * (7 / 3) ** 2) / 6 / 7
    assert found.difference.high - 3 == pytest.approx(stats.t.ppf(0.975, 2) * variance**0.5)
    assert (found.agent_lifetimes, found.fallback_sessions) == (4, 3)
    assert found.lift is None  # the interval of the fallback's return holds 0


def test_lifetimes_of_one_session_count_as_one():
    returns, held_back = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
    apart = uplift_of(np.tile(returns, 3), np.tile(held_back, 3), np.arange(12))
    together = uplift_of(np.tile(returns, 3), np.tile(held_back, 3), np.tile(np.arange(4), 3))
    assert together.difference.value == apart.difference.value
    assert together.agent_sessions == 2
    assert together.difference.high > apart.difference.high


def test_the_interval_covers_the_truth_and_the_lift_follows():
    random, covered, lifted = np.random.default_rng(0), 0, 0
    for _ in range(400):
        session = np.repeat(np.arange(60), 2)
        held_back = random.random(120) < 0.3
        returns = 4 + random.normal(size=60)[session] + np.where(held_back, 0.0, 1.0) + random.normal(size=120)
        found = uplift_of(returns, held_back, session)
        covered += found.difference.low <= 1 <= found.difference.high
        lifted += found.lift.low <= 0.25 <= found.lift.high
    assert 0.92 <= covered / 400 <= 0.99
    assert 0.92 <= lifted / 400 <= 0.99


def test_an_arm_needs_two_sessions():
    with pytest.raises(UsageError, match="the fallback has 1"):
        uplift_of(np.ones(5), np.array([False, False, False, True, True]), np.array([0, 1, 2, 3, 3]))
    with pytest.raises(UsageError, match="the agent has 0"):
        uplift_of(np.ones(0), np.ones(0, bool), np.ones(0, int))
