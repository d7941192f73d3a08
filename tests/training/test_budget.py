"""Budgets: how they are written, how a time becomes a number of updates, how often evaluations are made."""

import time

import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.training.budget import (
    Schedule,
    evaluation_interval,
    parse_budget,
    recent_seconds,
    slow_update,
    telling_of_slow_update,
)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("90s", (90.0, None)),
        ("5m", (300.0, None)),
        ("1.5h", (5400.0, None)),
        ("2e6 steps", (None, 2_000_000)),
        ("7steps", (None, 7)),
    ],
)
def test_budgets(text, parsed):
    assert parse_budget(text) == parsed


@pytest.mark.parametrize("text", ["", "5", "5 x", "-3m", "0s", "1..2s", "steps", "nan s", "inf steps", "1e400", "x" * 10_000])
def test_wrong_budgets_are_refused(text):
    with pytest.raises(UsageError, match="budget must be a time") as refused:
        parse_budget(text)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", ["1e400 steps", "1e400s", "1e30 steps", "1e9h", "0.1 steps"])
def test_budgets_beyond_all_bounds_are_refused(text):
    with pytest.raises(UsageError, match=r"budget must be .*at most"):
        parse_budget(text)


def test_more_updates_than_keys_can_tell_apart_are_refused():
    assert Schedule("4e9 steps", steps_per_update=1).updates == 4_000_000_000
    with pytest.raises(UsageError, match="is 5,000,000,000 updates of 1 steps; at most 4,294,967,295"):
        Schedule("5e9 steps", steps_per_update=1)


def test_an_update_that_outlasts_the_budget_is_told(caplog):
    assert slow_update("20s", 19.0) is None
    assert slow_update("20 steps", 1e9) is None
    assert "One update took 309 s, longer than the budget of 20s" in slow_update("20s", 309.0)
    cases = (
        ("0.02s", 0.0, True, 1),
        ("0.02s", 9.0, True, 0),
        ("0.02s", 0.0, False, 0),
        ("9 steps", 0.0, True, 0),
        ("1h", 0.0, True, 0),
    )
    for budget, spent, first, told in cases:
        caplog.clear()
        with telling_of_slow_update(budget, spent=spent, first=first):
            time.sleep(0.1)
        assert len(caplog.records) == told


def test_steps_are_rounded_up_to_whole_updates():
    schedule = Schedule("1001 steps", steps_per_update=100)
    assert schedule.updates == 11
    assert [schedule.progress(update) for update in (0, 11, 12)] == [0.0, 1.0, 1.0]
    assert not schedule.is_spent(10, seconds=1e9)
    assert schedule.is_spent(11, seconds=0.0)


def test_a_time_becomes_updates_once_their_speed_is_known():
    schedule = Schedule("100s", steps_per_update=1)
    assert schedule.progress(3) == 0.0
    # The first two updates hold compilation; the next three must be there, and take a twentieth of the budget.
    assert not schedule.plan(4, update_seconds=[30.0, 9.0, 2.0, 2.0], seconds=43.0)
    assert not schedule.plan(5, update_seconds=[30.0, 9.0, 1.0, 1.0, 1.0], seconds=42.0)
    assert schedule.updates is None
    assert schedule.plan(5, update_seconds=[30.0, 4.0, 2.0, 2.0, 2.0], seconds=40.0)
    assert schedule.updates == 5 + 27  # 0.92 · 60 s / 2 s
    assert not schedule.plan(6, update_seconds=[9.0] * 9, seconds=50.0)
    assert schedule.updates == 32


def test_a_run_without_a_plan_stops_with_the_update_that_ends_after_its_time():
    schedule = Schedule("100s", steps_per_update=1)
    assert not schedule.is_spent(0, seconds=1e9)
    assert not schedule.is_spent(1, seconds=99.0)
    assert schedule.is_spent(1, seconds=101.0)


def test_a_planned_run_far_beyond_its_time_stops():
    schedule = Schedule("100s", steps_per_update=1)
    assert schedule.plan(5, update_seconds=[2.0] * 5, seconds=10.0)
    assert not schedule.is_spent(0, seconds=1e9)
    assert not schedule.is_spent(3, seconds=114.0)
    assert schedule.is_spent(3, seconds=116.0)


def test_evaluations_take_a_tenth_of_the_time_at_most():
    assert evaluation_interval(10.0, seconds=6.0, evaluations=2) == 27.0
    assert evaluation_interval(10.0, seconds=0.2, evaluations=2) == 10.0
    assert evaluation_interval(0.0, seconds=6.0, evaluations=2) == 0.0


def test_the_speed_is_that_of_the_newest_updates():
    assert recent_seconds([9.0]) == 9.0
    assert recent_seconds([9.0, 5.0]) == 5.0
    assert recent_seconds([9.0, 5.0, 1.0, 2.0]) == 1.5
    assert recent_seconds([9.0, 5.0, 7.0] + [2.0] * 20) == 2.0
