"""Thresholds, censoring and break-even on curves whose answers are known, and bounds that hold what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.evaluation.adaptation_speed.crossings import (
    Bounds,
    Runs,
    gain_from_reward,
    measure_crossings,
    measure_side,
    ratio,
    steps_to_level,
)
from quickstudy.evaluation.measures import Anchors
from quickstudy.evaluation.numbers import censored_bounded, censored_number
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws


def stepped(at, *, episodes, high=1.0, low=0.0):
    """Curves that are low before episode `at` (counted from 1) and high from there on; `[*shape, episodes]`."""
    return np.where(np.arange(1, episodes + 1) >= np.asarray(at)[..., None], high, low)


def runs(returns, *, horizon=1):
    """Runs `[seeds, tasks, episodes]` whose episodes all last as long as they can."""
    returns = np.asarray(returns, float)
    while returns.ndim < 3:
        returns = returns[None]
    return Runs(returns=returns, steps=np.broadcast_to(horizon * np.arange(1.0, returns.shape[-1] + 1), returns.shape))


def draws_of(agent, baseline, *, resamples=200, seed=0):
    tasks = statistics.draw_counts(agent.returns.shape[1], resamples=resamples, seed=(seed, 0))
    return tuple(
        Draws(seeds=statistics.draw_counts(len(one.returns), resamples=resamples, seed=(seed, 1 + place)), tasks=tasks)
        for place, one in enumerate((agent, baseline))
    )


def measured(agent, baseline, *, floor=0.0, thresholds=(0.5,), meta_training_steps=None, seed=0):
    floors = np.broadcast_to(np.asarray(floor, float), agent.returns.shape[1])
    draws = draws_of(agent, baseline, seed=seed)
    return measure_crossings(agent, baseline, floors, draws, thresholds=thresholds, meta_training_steps=meta_training_steps)


def ends(estimate):
    return estimate.at_least, estimate.at_most, estimate.low, estimate.high


def test_a_step_reaches_every_threshold_where_it_steps():
    agent = runs(stepped([3, 3], episodes=5), horizon=2)
    baseline = runs(stepped([30, 30], episodes=50), horizon=2)
    found = measured(agent, baseline, thresholds=(0.9, 0.5, 0.75))
    assert [one.fraction for one in found["thresholds"]] == [0.5, 0.75, 0.9]
    for one in found["thresholds"]:
        assert one.level.value == pytest.approx(one.fraction)
        for crossing in (one.on_each_task, one.on_mean_curve):
            assert ends(crossing.agent) == (6, 6, 6, 6)
            assert ends(crossing.baseline) == (60, 60, 60, 60)
            assert ends(crossing.speed_up) == (10, 10, 10, 10)
        assert (one.agent_reached, one.baseline_reached) == (1, 1)
    assert found["tasks_learned"] == 1


def test_a_curve_that_stays_below_is_censored_at_its_last_step():
    agent = runs([[0.6] * 5] * 2, horizon=2)
    found = measured(agent, runs(stepped([30, 30], episodes=50), horizon=2), thresholds=(0.5, 0.75), meta_training_steps=100)
    half, more = found["thresholds"]
    assert ends(half.on_each_task.agent) == (2, 2, 2, 2)
    assert half.tasks_to_pay_back.value == pytest.approx(100 / 58)
    for crossing in (more.on_each_task, more.on_mean_curve):
        assert censored_number(crossing.agent) == "> 10"
        assert censored_number(crossing.speed_up) == "< 6"
        assert ends(crossing.speed_up) == (0, 6, 0, 6)
    assert (more.agent_reached, more.baseline_reached) == (0, 1)
    # At best it was about to get there, and saved 50 steps a task; at worst it never does.
    assert censored_number(more.tasks_to_pay_back) == "> 2"


def test_a_baseline_most_of_whose_seeds_fail_gives_a_speed_up_of_more_than_something():
    baseline = runs([[[0.0] * 40], [[0.0] * 40], stepped([1], episodes=40, high=3.0)])
    found = measured(runs(stepped([4], episodes=10)), baseline)["thresholds"][0]
    assert found.level.value == pytest.approx(0.5)
    assert censored_number(found.on_each_task.baseline) == "> 40"
    assert censored_number(found.on_each_task.speed_up) == "> 10"
    assert found.on_each_task.speed_up.high is None
    assert found.baseline_reached == pytest.approx(1 / 3)
    # Their mean is a curve that got there.
    assert found.on_mean_curve.speed_up.at_most == pytest.approx(0.25)


def test_a_tie_with_the_level_counts_as_reached():
    found = measured(runs([[0.0, 0.7499, 0.75, 0.75]]), runs(stepped([8], episodes=20)), thresholds=(0.75,))["thresholds"][0]
    assert found.on_each_task.agent.value == found.on_mean_curve.agent.value == 3


def test_a_task_on_which_the_baseline_learned_nothing_sets_no_threshold_and_is_not_dropped():
    flat, good = [0.0] * 20, stepped(10, episodes=20)
    agent = runs([stepped(2, episodes=20)] * 3)
    one_of_three = measured(agent, runs([[good, good, flat]]))
    assert one_of_three["tasks_learned"] == pytest.approx(2 / 3)
    # Ratios: 5, 5 and anything; the median is 5 whatever the third is.
    assert one_of_three["thresholds"][0].on_each_task.speed_up.value == 5
    two_of_three = measured(agent, runs([[good, flat, flat]]))["thresholds"][0]
    assert censored_number(two_of_three.on_each_task.speed_up) == "unknown"
    assert ends(two_of_three.on_each_task.agent) == (0, None, 0, None)
    none = measured(agent, runs([[flat] * 3]))["thresholds"][0]
    assert censored_number(none.on_mean_curve.speed_up) == "unknown"
    assert censored_bounded(none.on_mean_curve.speed_up) == "unknown"


def test_the_floor_of_each_task_sets_its_level():
    curve = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    baseline = runs([[curve, curve]])
    found = measured(baseline, baseline, floor=[0.0, 0.6])["thresholds"][0]
    # Levels 0.5 and 0.8: three and four steps; their median lies between.
    assert found.on_each_task.agent.value == 3.5
    assert found.level.value == pytest.approx(0.65)
    assert found.on_each_task.speed_up.value == 1


def test_steps_are_those_that_were_lived():
    agent = runs(stepped([2], episodes=4))
    early = Runs(returns=agent.returns, steps=np.array([[[7.0, 9.0, 11.0, 12.0]]]))
    assert measured(early, runs(stepped([9], episodes=10)))["thresholds"][0].on_each_task.speed_up.value == 1


def test_both_are_smoothed_over_the_shorter_lifetime():
    found = measured(runs(stepped([1], episodes=60)), runs(stepped([41], episodes=600)), thresholds=(1.0,))
    assert found["window"] == 3
    assert found["thresholds"][0].on_each_task.agent.value == 3
    assert found["thresholds"][0].on_each_task.baseline.value == 43


def test_break_even_is_where_the_baseline_stays_above():
    agent = runs([[0.0, 1.0, 1.0, 1.0]])
    lucky_at_first = np.where(np.arange(40) == 0, 5.0, stepped(20, episodes=40, high=2.0))
    assert ends(measured(agent, runs([lucky_at_first]))["break_even"]) == (20, 20, 20, 20)


def test_a_tie_is_no_break_even():
    agent = runs([[0.0, 1.0, 1.0, 1.0]])
    found = measured(agent, runs(stepped([20], episodes=40)))["break_even"]
    assert ends(found) == (40, None, 40, None)
    assert censored_number(found) == "> 40"


def test_what_is_never_paid_back_says_so():
    slow, quick = runs(stepped([8], episodes=20)), runs(stepped([4], episodes=20))
    assert measured(quick, slow, meta_training_steps=40)["thresholds"][0].tasks_to_pay_back.value == 10
    never = measured(slow, quick, meta_training_steps=40)["thresholds"][0].tasks_to_pay_back
    assert never.at_least is None
    assert censored_number(never) == censored_bounded(never) == "never"


def test_a_side_by_hand():
    returns = np.arange(20.0)
    one = runs([[returns, returns]], horizon=3)
    draws = draws_of(one, one)[0]
    anchors = Anchors(floor=np.zeros(2), ceiling=np.full(2, 20.0))
    side = measure_side(one, anchors, draws, shared=4, window=1)
    assert (side["area"].value, side["asymptote"].value, side["steps"], side["episodes"]) == (1.5, 18.5, 60, 20)
    assert {after: score.value for after, score in side["score_after"].items()} == {"0": 0, "1": 0.05, "3": 0.15, "10": 0.5}
    assert side["curve"].at == tuple(range(3, 61, 3))
    assert side["curve"].value == pytest.approx(returns)
    unknown = measure_side(one, Anchors(floor=np.zeros(2), ceiling=None), draws, shared=4, window=1)
    assert unknown["score_after"] == {}
    assert gain_from_reward(one, runs([[returns - 2, returns - 4]]), draws).value == 3


def test_a_long_curve_keeps_its_start_and_its_end():
    one = runs(np.arange(5000.0)[None])
    curve = measure_side(one, Anchors(floor=None, ceiling=None), draws_of(one, one)[0], shared=10, window=5)["curve"]
    assert len(curve.at) <= 100
    assert (curve.at[:3], curve.at[-1]) == ((5, 6, 7), 5000)
    assert curve.value[0] == pytest.approx(2)
    assert curve.value[-1] == pytest.approx(4997)


def test_the_interval_of_a_speed_up_covers_it_over_repeated_draws():
    """The agent needs 2 steps, the baseline 2 to 38 with a median of 20: the median ratio is 10."""
    hits, widths = 0, []
    for repetition in range(100):
        generator = np.random.default_rng(repetition)
        agent = runs(stepped([2] * 40, episodes=20))
        baseline = runs(stepped(2 * generator.integers(1, 20, 40), episodes=60))
        found = measured(agent, baseline, seed=repetition)["thresholds"][0].on_each_task.speed_up
        hits += found.low <= 10 <= found.high
        widths.append(found.high - found.low)
    assert hits / 100 >= 0.88
    assert np.mean(widths) < 8


def speed_up_of_noisy_ramps(repetition, *, noise):
    """Ramps that come half way between steps 5 and 6, and between 50 and 51: without noise the speed-up is 51 / 6."""
    generator = np.random.default_rng(repetition)
    ramps = [np.minimum((np.arange(count) + 0.5) / top, 1.0) for count, top in ((20, 10), (200, 100))]
    sides = [runs(ramp + noise * generator.normal(size=(1, 400, len(ramp)))) for ramp in ramps]
    return measured(*sides, seed=repetition)["thresholds"][0].on_mean_curve.speed_up


@pytest.mark.slow
def test_the_interval_of_the_mean_curves_speed_up_covers_it_over_repeated_draws():
    found = [speed_up_of_noisy_ramps(repetition, noise=0.1) for repetition in range(40)]
    assert np.mean([one.low <= 51 / 6 <= one.high for one in found]) >= 0.85
    assert np.mean([one.high - one.low for one in found]) < 1


def test_noise_as_large_as_the_way_makes_a_speed_up_smaller_not_larger():
    found = [speed_up_of_noisy_ramps(repetition, noise=1.0).value for repetition in range(20)]
    assert 51 / 6 / 2 < np.mean(found) < 51 / 6


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=9),
    cuts=st.tuples(*[st.integers(1, 40)] * 2),
)
def test_what_a_longer_life_would_have_shown_lies_between_the_bounds(pairs, cuts):
    truth, bounds = [], []
    for times, cut in zip(np.array(pairs).T, cuts, strict=True):
        curves = stepped(times, episodes=40)
        steps = np.broadcast_to(np.arange(1.0, 41), curves.shape)
        truth.append(steps_to_level(curves, steps, np.full(len(times), 0.5)).lower)
        assert truth[-1].tolist() == times.tolist()
        bounds.append(steps_to_level(curves[:, :cut], steps[:, :cut], np.full(len(times), 0.5)))
    real, found = truth[1] / truth[0], ratio(bounds[1], bounds[0])
    assert (found.lower <= real).all()
    assert (real <= found.upper).all()
    assert np.median(found.lower) <= np.median(real) <= np.median(found.upper)


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(0.01, 1000), shift=st.floats(-100, 100), seed=st.integers(0, 1000))
def test_the_unit_and_the_origin_of_rewards_change_no_step(scale, shift, seed):
    generator = np.random.default_rng(seed)
    # Multiples of 1/8, whose levels at 0.4 are none, so that no tie is decided by rounding.
    returns = [np.sort(generator.integers(0, 9, (2, 3, count)) / 8, axis=-1) for count in (10, 30)]
    returns[1][..., -3:] = 1.0
    plainly = measured(*map(runs, returns), thresholds=(0.4,))["thresholds"][0].on_each_task
    moved = measured(*(runs(scale * (one + shift)) for one in returns), floor=scale * shift, thresholds=(0.4,))
    assert moved["thresholds"][0].on_each_task == plainly


def test_a_ratio_of_numbers_that_may_be_anything_may_be_anything():
    anything = Bounds(np.zeros(1), np.full(1, np.inf))
    assert [*ratio(anything, anything)] == [0, np.inf]
