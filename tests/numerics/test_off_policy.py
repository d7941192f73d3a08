"""Off-policy evaluation, on logs of a simulator that knows what the target policy earns."""

import numpy as np
import pytest
from scipy import stats

from numerics.off_policy_simulator import ARMS, coverage, returns_by_histories, simulated
from quickstudy.numerics.action_values import fitted_action_values
from quickstudy.numerics.off_policy import ActionValues, off_policy_value, policy_differences
from quickstudy.protocol.errors import UsageError

GREEDY = (6.0, 0.1)
"""Sharpness and exploration of the target: it adapts within the session, and more boldly than the agent that was logged."""


def evaluated(log, **more):
    target = np.take_along_axis(log.target, log.actions[..., None], axis=2)[..., 0]
    return off_policy_value(log.rewards, log.logged, target, **more)


@pytest.mark.slow
def test_intervals_cover_what_the_policy_earns_and_biased_estimates_do_not():
    found = coverage(sessions=150, steps=4, target=GREEDY, repetitions=500, seed=0)
    assert found["refused"] == 0
    for name in ("IPS", "SNIPS", "DM", "DR", "SWITCH-DR", "DR, wrong model"):
        assert found[name] >= 0.93, found
    for name in ("logged agent", "DM, wrong model"):
        assert found[name] < 0.8, found


@pytest.mark.slow
def test_intervals_over_decisions_would_be_too_short():
    found = coverage(sessions=120, steps=4, target=GREEDY, repetitions=300, seed=1, copies=4)
    assert found["IPS"] >= 0.93, found
    assert found["IPS, rows as sessions"] < 0.8, found


def test_the_simulator_knows_the_return_of_its_policies():
    log = simulated(np.random.default_rng(0), sessions=40_000, steps=3, logged=GREEDY, target=GREEDY)
    assert log.rewards.sum(axis=1).mean() == pytest.approx(returns_by_histories(3, GREEDY), abs=0.02)


def test_sessions_by_hand():
    rewards = np.array([[1.0, 2.0], [0.0, 4.0]] * 40)
    logged = np.full((80, 2), 0.5)
    target = np.array([[1.0, 0.5], [0.0, 0.5]] * 40)
    report = off_policy_value(rewards, logged, target)
    # Weights are 2, 2 in even sessions and 0, 0 in odd ones: the second reward bears the weight of the first decision too.
    assert report.estimates["IPS"].value == pytest.approx((2 * 1 + 2 * 2) / 2)
    assert report.estimates["SNIPS"].value == pytest.approx(1 + 2)
    assert report.logged.value == pytest.approx(3.5)
    assert report.differences["IPS"].value == pytest.approx(-0.5)
    assert (report.effective_sessions, report.largest_weight, report.mean_weight) == pytest.approx((40, 2, 1))


def test_corrected_models_by_hand():
    rewards, logged = np.array([[1.0, 2.0]] * 160), np.full((160, 2), 0.5)
    target = np.array([[0.9, 0.9], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9]] * 40)
    model = ActionValues(chosen=np.full((160, 2), 2.5), target=np.array([[3.0, 1.5]] * 160))
    estimates = off_policy_value(rewards, logged, target, action_values=model, most_weight=1.5).estimates
    first, second = [1.8, 0.2, 1.8, 0.2], [3.24, 0.04, 0.36, 0.36]
    corrected = [3.0 + w * (1 - 2.5) + w * 1.5 + both * (2 - 2.5) for w, both in zip(first, second, strict=True)]
    assert estimates["DM"].value == pytest.approx(3.0)
    assert estimates["DR"].value == pytest.approx(np.mean(corrected))
    switched = [3.0, corrected[1], 3.0, corrected[3]]  # the weight of the first decision is above the limit
    assert estimates["SWITCH-DR"].value == pytest.approx(np.mean(switched))


def test_decisions_that_were_not_made_count_for_nothing():
    log = simulated(np.random.default_rng(1), sessions=200, steps=3, target=GREEDY)
    target = np.take_along_axis(log.target, log.actions[..., None], axis=2)[..., 0]
    short = off_policy_value(log.rewards[:, :2], log.logged[:, :2], target[:, :2])
    valid = np.array([[True, True, False]] * 200)
    rewards, logged = np.where(valid, log.rewards, np.nan), np.where(valid, log.logged, 0)
    longer = off_policy_value(rewards, logged, target, valid=valid)
    assert longer.effective_sessions == pytest.approx(short.effective_sessions)
    for name, estimate in short.estimates.items():
        assert longer.estimates[name].low == pytest.approx(estimate.low)


def test_copies_of_sessions_do_not_shorten_intervals():
    log = simulated(np.random.default_rng(2), sessions=200, steps=3, target=GREEDY)
    target = np.take_along_axis(log.target, log.actions[..., None], axis=2)[..., 0]
    once = off_policy_value(log.rewards, log.logged, target)
    threefold = [np.concatenate([one] * 3) for one in (log.rewards, log.logged, target)]
    again = off_policy_value(*threefold, session=np.tile(np.arange(200), 3))
    assert (again.sessions, again.effective_sessions) == (200, pytest.approx(once.effective_sessions))
    for name, estimate in once.estimates.items():
        assert again.estimates[name].low == pytest.approx(estimate.low)
        assert again.estimates[name].high == pytest.approx(estimate.high)


def test_the_same_policy_earns_what_was_logged():
    log = simulated(np.random.default_rng(3), sessions=100, steps=3, target=GREEDY)
    report = off_policy_value(log.rewards, log.logged, log.logged)
    for name, estimate in report.estimates.items():
        assert estimate.value == pytest.approx(report.logged.value)
        assert report.differences[name].value == pytest.approx(0)
    assert (report.effective_sessions, report.unsupported_share) == (pytest.approx(100), 0)


def test_two_policies_are_compared_row_by_row():
    rewards, fair = np.array([[1.0], [3.0]] * 40), np.full((80, 1), 0.5)
    often = np.tile([[0.6], [0.4]], (40, 1))  # of the action with reward 1, and of the one with reward 3
    first, second = off_policy_value(rewards, fair, fair), off_policy_value(rewards, fair, often)
    found = policy_differences(first, second)["IPS"]
    # Rows change by 1 (1.2 - 1) and 3 (0.8 - 1): a mean of -0.2, and a standard deviation of 0.4 with 79 degrees of freedom.
    assert found.value == pytest.approx(-0.2)
    error = 0.4 * (80 / 79) ** 0.5 / 80**0.5
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, second.effective_sessions - 1) * error)
    assert second.effective_sessions < 80
    with pytest.raises(UsageError, match="same sessions"):
        policy_differences(first, off_policy_value(rewards[:60], fair[:60], fair[:60]))


def test_models_do_not_see_the_rewards_that_they_predict():
    log = simulated(np.random.default_rng(4), sessions=100, steps=3, target=GREEDY)
    before = fitted_action_values(log.target, log.actions, log.rewards, log.target)
    rewards = log.rewards.copy()
    rewards[7] += 100
    after = fitted_action_values(log.target, log.actions, rewards, log.target)
    np.testing.assert_array_equal(before.chosen[7], after.chosen[7])
    assert np.abs(before.chosen - after.chosen).max() > 0.1


def test_a_model_shortens_intervals():
    log = simulated(np.random.default_rng(5), sessions=1000, steps=4, target=GREEDY)
    model = fitted_action_values(log.target, log.actions, log.rewards, log.target)
    widths = {name: one.high - one.low for name, one in evaluated(log, action_values=model).estimates.items()}
    assert widths["DR"] < 0.95 * widths["IPS"]


def test_an_effective_sample_below_30_is_refused():
    log = simulated(np.random.default_rng(6), sessions=60, steps=8, target=(12.0, 0.05))
    with pytest.raises(UsageError, match=r"effective sample size of .* at least 30 .* first [1-7] of 8 decisions"):
        evaluated(log)
    with pytest.raises(UsageError, match=r"effective sample size of 29\.0.*To go on, log more sessions"):
        off_policy_value(np.ones((29, 1)), np.ones((29, 1)), np.ones((29, 1)))


def test_actions_that_were_never_logged_are_refused():
    log = simulated(np.random.default_rng(7), sessions=400, steps=1, target=GREEDY)
    kept = log.actions[:, 0] != ARMS - 1  # the log of an agent that never takes the last arm
    logged = log.logged[kept] / (1 - 1 / ARMS)
    with pytest.raises(UsageError, match="sessions take an action that was never logged"):
        off_policy_value(log.rewards[kept], logged, np.full(logged.shape, 1 / ARMS))
    with pytest.raises(UsageError, match="probability 0 to every logged session"):
        off_policy_value(log.rewards, log.logged, np.zeros(log.logged.shape))


def test_a_mean_weight_above_one_is_refused_where_rare_sessions_cannot_explain_it():
    value = lambda weight: off_policy_value(np.ones((100, 1)), np.full((100, 1), 0.9), np.full((100, 1), 0.9 * weight))  # noqa: E731
    assert value(1.02).mean_weight == pytest.approx(1.02)  # 2 of 100 sessions may happen not to be there, 4 may not
    with pytest.raises(UsageError, match=r"1\.04 and should be 1.*logged probabilities are too small"):
        value(1.04)
    with pytest.raises(UsageError, match=r"0\.995 and should be 1.*never logged"):
        value(0.995)


@pytest.mark.parametrize("change", ["logged", "target", "rewards", "model", "rows"])
def test_numbers_that_cannot_be_are_refused(change):
    log = simulated(np.random.default_rng(8), sessions=60, steps=2, target=GREEDY)
    rewards, logged, target, values = log.rewards.copy(), log.logged.copy(), log.logged.copy(), None
    if change == "logged":
        logged[0, 0] = 0
    elif change == "target":
        target[0, 0] = 2
    elif change == "rewards":
        rewards[0, 0] = np.nan
    elif change == "model":
        values = ActionValues(chosen=np.full(rewards.shape, np.inf), target=rewards)
    else:
        rewards, logged, target = rewards[:1], logged[:1], target[:1]
    with pytest.raises(UsageError, match={"model": "action values", "rows": "two sessions"}.get(change, change)):
        off_policy_value(rewards, logged, target, action_values=values)


def test_densities_may_exceed_one():
    random = np.random.default_rng(9)
    actions = random.normal(0, 0.1, (400, 1))
    densities = [np.exp(-((actions - mean) ** 2) / 0.02) / (0.1 * np.sqrt(2 * np.pi)) for mean in (0.0, 0.03)]
    report = off_policy_value(actions, *densities, densities=True)
    assert report.estimates["SNIPS"].low <= 0.03 <= report.estimates["SNIPS"].high
    with pytest.raises(UsageError, match="at most 1"):
        off_policy_value(actions, *densities)
