"""Off-policy evaluation, on logs of a simulator that knows what the target policy earns."""

import numpy as np
import pytest

from quickstudy.numerics.off_policy import off_policy_value
from quickstudy.protocol.errors import UsageError

ARMS, STEPS = 3, 8
MEANS = np.array([0.3, 0.5, 0.6])
TARGET = np.array([0.1, 0.3, 0.6])
TRUE = STEPS * float(MEANS @ TARGET)


def logs(generator, sessions):
    """Sessions of an agent that adapts: it prefers arms that paid in its session, so its decisions depend on one another."""
    counts, paid = np.ones((sessions, ARMS)), np.full((sessions, ARMS), 0.5)
    rewards, logged, actions = (np.empty((sessions, STEPS)) for _ in range(3))
    rows = np.arange(sessions)
    for step in range(STEPS):
        scores = np.exp(2 * paid / counts)
        policy = 0.2 / ARMS + 0.8 * scores / scores.sum(axis=1, keepdims=True)
        action = (policy.cumsum(axis=1) < generator.random((sessions, 1))).sum(axis=1).clip(max=ARMS - 1)
        reward = (generator.random(sessions) < MEANS[action]).astype(float)
        counts[rows, action] += 1
        paid[rows, action] += reward
        rewards[:, step], logged[:, step], actions[:, step] = reward, policy[rows, action], action
    return rewards, logged, actions.astype(int)


def evaluated(rewards, logged, actions, *, model=None, target=TARGET):
    valid = np.ones_like(rewards, bool)
    more = (
        {}
        if model is None
        else {"predicted": model[actions], "predicted_target": np.full(rewards.shape, float(model @ target))}
    )
    return off_policy_value(rewards, logged, target[actions], valid=valid, **more)


def test_intervals_cover_what_the_policy_earns():
    generator = np.random.default_rng(0)
    repetitions, covered = 500, {}
    for _ in range(repetitions):
        report = evaluated(*logs(generator, 120), model=np.array([0.4, 0.4, 0.5]))
        for name, estimate in report.estimates.items():
            covered[name] = covered.get(name, 0) + (estimate.low <= TRUE <= estimate.high)
    shares = {name: count / repetitions for name, count in covered.items()}
    assert min(shares[name] for name in ("IPS", "SNIPS", "DR", "SWITCH-DR")) >= 0.93, shares
    assert shares["DM"] == 0  # its model is wrong, and nothing corrects it


def test_a_good_model_makes_intervals_shorter():
    log = logs(np.random.default_rng(1), 400)
    estimates = evaluated(*log, model=MEANS).estimates
    widths = {name: estimate.high - estimate.low for name, estimate in estimates.items()}
    assert widths["DR"] < widths["SNIPS"] < widths["IPS"]
    assert estimates["DM"].value == pytest.approx(TRUE)


def test_two_sessions_by_hand():
    rewards, logged = np.array([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 20), np.full((40, 2), 0.5)
    target = np.array([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 20)
    report = off_policy_value(rewards, logged, target, valid=np.ones((40, 2), bool))
    assert report.estimates["IPS"].value == 2.0  # every session: weight 2 on the step that paid
    assert report.estimates["SNIPS"].value == 2.0
    assert (report.effective_sessions, report.mean_weight, report.largest_weight) == (40.0, 1.0, 2.0)


def test_what_the_log_does_not_support_is_refused():
    rewards, logged, actions = logs(np.random.default_rng(2), 200)
    never = actions != 2  # a log from which the best arm is missing
    kept = never.sum(axis=1) >= 3
    place = np.argsort(~never, axis=1, kind="stable")[:, :3]
    without = [np.take_along_axis(one, place, axis=1)[kept] for one in (rewards, logged, actions)]
    with pytest.raises(UsageError, match="mean weight"):
        evaluated(*without)
    rewards, logged, actions = logs(np.random.default_rng(2), 20)
    with pytest.raises(UsageError, match="sessions"):
        evaluated(rewards, logged, actions)


@pytest.mark.parametrize("change", ["no propensity", "above one", "unequal", "half a model"])
def test_logs_that_are_none_are_refused(change):
    rewards, logged, actions = logs(np.random.default_rng(3), 60)
    valid, target, more = np.ones_like(rewards, bool), TARGET[actions], {}
    if change == "no propensity":
        logged[0, 0] = 0
    elif change == "above one":
        target[0, 0] = 2
    elif change == "unequal":
        valid[0, 0] = False
    else:
        more = {"predicted": rewards}
    with pytest.raises(UsageError):
        off_policy_value(rewards, logged, target, valid=valid, **more)
