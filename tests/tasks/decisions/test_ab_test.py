"""A/B tests by hand: what is lost, what is seen, what splits change, and what the gate allows."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.ab_test import FOCUS, experiment_of
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.runner import run_on_tasks
from quickstudy.tasks.decisions.ab_test import SPLITS, AbTest
from quickstudy.tasks.decisions.ab_test_task import AbTestTask, long_run, rates_at

KEY = jax.random.key(0)
SMALL = {"looks": 3, "users_per_look": 100, "horizon_users": 1000}
CONTINUE, FOCUS_ON_1, KEEP, SHIP_1 = 0, 2, 3, 4


def task_of(base, lift, **others):
    """A test of two arms; without novelty, week or delay."""
    known = {"novelty": [0.0], "fades": 5.0, "week": 0.0, "arrives": 1.0, "flip": 0.0, "uncounted": 0.0}
    known |= {"base_rate": base, "lift": [lift]} | others
    return AbTestTask(**{name: jnp.float32(value) for name, value in known.items()}, expects=jnp.asarray(False))


LIFT = math.log(0.2 / 0.8) - math.log(0.1 / 0.9)
BETTER = task_of(0.1, LIFT)  # rates of 0.1 and 0.2


def played(distribution, task, actions):
    """The outcomes after these actions."""
    state, _ = distribution.reset(task, KEY)
    outcomes = []
    for place, action in enumerate(actions):
        state, outcome = distribution.step(task, state, jnp.int32(action), jax.random.key(place))
        outcomes.append(outcome)
    return outcomes


@pytest.mark.parametrize(
    ("actions", "lost"),
    [
        ([SHIP_1], 10),  # 100 users of the first look saw the worse arm
        ([KEEP], 10 + 80),  # and 800 users are left
        ([CONTINUE, SHIP_1], 20),
        ([FOCUS_ON_1, SHIP_1], 10 + 200 * (1 - FOCUS) * 0.1),
        ([CONTINUE, CONTINUE, CONTINUE], 30),  # after the last look the arm that looks best is shipped
    ],
)
def test_what_is_lost_by_hand(actions, lost):
    outcomes = played(tasks.make("ab-test", **SMALL), BETTER, actions)
    assert [bool(outcome.terminated) for outcome in outcomes] == [False] * (len(actions) - 1) + [True]
    assert [float(outcome.reward) for outcome in outcomes[:-1]] == [0.0] * (len(actions) - 1)
    assert float(outcomes[-1].reward) == pytest.approx(-lost, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "nulls"), [("stopping programme", 0.0), ("Pocock", 0.2)])
def test_expected_rewards_have_the_same_mean_and_less_noise(rule, nulls):
    returns = {}
    for expected in (False, True):
        tests = tasks.make("ab-test", null_share=nulls, expected_rewards=expected)
        for split in ("train", "test"):
            agent = tests.baselines[rule]()
            drawn, keys = draw_tasks(tests, split=split, tasks=8000, seed=0)
            rewards, _ = run_on_tasks(agent, tests, agent.init(KEY), drawn, keys)[:2]
            returns[expected, split] = np.asarray(rewards, np.float64).sum(1)
    np.testing.assert_array_equal(returns[False, "test"], returns[True, "test"])
    realised, expected = returns[False, "train"], returns[True, "train"]
    for name, some in (("realised", realised), ("expected", expected)):
        print(f"{rule}, {name}: mean {some.mean():.1f}, standard deviation {some.std():.1f}")
    apart = realised - expected
    assert abs(apart.mean()) < 3 * apart.std() / math.sqrt(apart.size) + 0.03 * abs(realised.mean())
    assert expected.std() < 0.6 * realised.std()


def test_expected_rewards_are_refused_where_the_belief_would_be_wrong():
    with pytest.raises(SpecError, match="expected_rewards needs 2 arms"):
        tasks.make("ab-test", expected_rewards=True, delay_looks=2.0)


def test_the_observation_holds_the_counts_exactly():
    distribution = tasks.make("ab-test", **SMALL)
    state, seen = distribution.reset(BETTER, KEY)
    state, outcome = distribution.step(BETTER, state, jnp.int32(FOCUS_ON_1), KEY)
    experiment = experiment_of(outcome.observation, distribution.spec)
    assert (int(experiment.look), int(experiment.left)) == (2, 600)
    np.testing.assert_array_equal(experiment.users, [140, 260])
    np.testing.assert_array_equal(experiment.conversions, state.seen.conversions)
    first = experiment_of(seen, distribution.spec)
    assert (first.conversions <= experiment.conversions).all()
    assert abs(float(first.conversions[1]) / 100 - 0.2) < 0.15


def test_rates_follow_novelty_week_and_flip():
    task = task_of(0.1, LIFT, novelty=[0.5], week=0.2, flip=3.0)
    np.testing.assert_allclose(long_run(task), [0.1, 0.2], rtol=1e-5)
    weekly = 1 + 0.2 * math.cos(2 * math.pi * 2 / 7)
    odds = math.log(0.1 / 0.9) - LIFT + 0.5 * math.exp(-1 / 5)
    np.testing.assert_allclose(rates_at(task, jnp.float32(2)), [0.1 * weekly, weekly / (1 + math.exp(-odds))], rtol=1e-5)
    later = math.log(0.1 / 0.9) + LIFT + 0.5 * math.exp(-2 / 5)
    weekly = 1 + 0.2 * math.cos(2 * math.pi * 3 / 7)
    np.testing.assert_allclose(rates_at(task, jnp.float32(3))[1], weekly / (1 + math.exp(-later)), rtol=1e-5)


def test_conversions_that_are_late_are_all_counted_in_the_end_and_uncounted_users_are_not():
    distribution = tasks.make("ab-test", **SMALL)
    late = task_of(0.1, 0.0, arrives=0.5)
    state, _ = distribution.reset(late, KEY)
    assert float(state.coming.sum()) == pytest.approx(float(state.seen.conversions.sum()), abs=2)
    missing = task_of(0.1, 0.0, uncounted=0.05)
    np.testing.assert_array_equal(distribution.reset(missing, KEY)[0].seen.users, [100, 95])


def test_splits_change_what_they_say_and_share_no_task():
    distribution = tasks.make("ab-test")
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=4000) for split in SPLITS}
    assert not drawn["ood:null"].lift.any()
    for split, deviation in (("test", 0.15), ("ood:large-lifts", 0.4)):
        lift = np.asarray(drawn[split].lift)
        assert (lift == 0).mean() == pytest.approx(0.6, abs=0.03)
        assert lift[lift != 0].std() == pytest.approx(deviation, rel=0.1)
    assert np.asarray(drawn["test"].base_rate).mean() == pytest.approx(2 / 40, rel=0.05)
    assert float(drawn["ood:rare"].base_rate.max()) < 0.001
    np.testing.assert_allclose(drawn["ood:delays"].arrives, 1 / 15, rtol=1e-6)
    assert (drawn["ood:trend-flip"].flip >= 10).all()
    assert not drawn["test"].flip.any()
    np.testing.assert_allclose(drawn["ood:sample-ratio-mismatch"].uncounted, 0.05)
    rates = {split: set(np.asarray(task.base_rate).tolist()) for split, task in drawn.items()}
    assert len(set().union(*rates.values())) == sum(map(len, rates.values()))


def test_the_floor_is_the_mean_of_random_actions():
    distribution = tasks.make("ab-test", **SMALL)
    agent = distribution.baselines["random"]()
    run = jax.jit(jax.vmap(lambda key: run_lifetime(agent, distribution, (), BETTER, key)[0].outcome.reward.sum()))
    returns = np.asarray(run(jax.random.split(KEY, 4000)))
    assert float(distribution.floor(BETTER)) == pytest.approx(returns.mean(), abs=5 * returns.std() / 4000**0.5)
    assert float(distribution.ceiling(BETTER)) == 0.0


def test_inference_forbids_a_treatment_until_the_gate_agrees_and_keeps_the_control_in_the_end():
    distribution = tasks.make("ab-test", **SMALL, objective="inference")
    spec = distribution.spec
    clear, equal = task_of(0.1, 2.0), task_of(0.1, 0.0)
    outcomes = {name: played(distribution, task, [0, 0, 0]) for name, task in {"clear": clear, "equal": equal}.items()}
    allowed = {name: np.asarray(spec.allowed(found[1].observation)) for name, found in outcomes.items()}
    np.testing.assert_array_equal(allowed["equal"], [True, True, True, True, False])
    assert allowed["clear"].all()
    best = long_run(clear)
    assert float(outcomes["clear"][-1].reward) == pytest.approx(-float((best[1] - best[0]) * (300 + 400)), rel=1e-4)


def test_settings_of_the_class_are_those_of_the_name():
    distribution = tasks.make("ab-test", arms=3, null_share=0.2)
    assert distribution.config == dataclasses.asdict(AbTest(arms=3, null_share=0.2))
    assert "stopping programme" not in distribution.baselines
    assert int(distribution.spec.action_space.n) == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arms": 1}, "arms must be 2 to 12"),
        ({"looks": 1}, "looks must be 2"),
        ({"lift_deviation": 0.0}, "lift_deviation must be above 0"),
        ({"null_share": 1.5}, "null_share must be within"),
        ({"horizon_users": 10}, "at least the 40,000 of all looks"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        AbTest(**settings)


def test_another_objective_is_refused():
    with pytest.raises(UnknownNameError, match="inference"):
        AbTest(objective="inferences")
