"""The choice of trials: grids, draws that can be continued, and how many there are."""

import collections

import pytest

from quickstudy.evaluation.sweep.samplers import grid, random_trials, trial_count
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.protocol.errors import UsageError

CELL = SweptSetting(part="algorithm", values=("gru", "linear"))
ARMS = SweptSetting(part="distribution", values=(2, 5, 10))
RATE = SweptSetting(part="algorithm", low=1e-4, high=1e-2, log=True)
LIFETIMES = SweptSetting(part="algorithm", low=1, high=4, whole=True)


def test_a_grid_has_every_combination_once():
    found = grid({"cell": CELL, "arms": ARMS})
    assert found[:2] == [{"cell": "gru", "arms": 2}, {"cell": "gru", "arms": 5}]
    assert len({tuple(one.values()) for one in found}) == len(found) == 6


def test_longer_random_searches_begin_with_shorter_ones():
    over = {"cell": CELL, "rate": RATE}
    assert random_trials(over, 40, seed=3)[:15] == random_trials(over, 15, seed=3)
    assert random_trials(over, 15, seed=4) != random_trials(over, 15, seed=3)


def test_draws_are_even_and_within_the_range():
    drawn = random_trials({"cell": CELL, "rate": RATE}, 400, seed=0)
    assert all(1e-4 <= one["rate"] <= 1e-2 for one in drawn)
    assert 160 < collections.Counter(one["cell"] for one in drawn)["gru"] < 240
    assert 160 < sum(one["rate"] < 1e-3 for one in drawn) < 240  # half of the decades


def test_no_combination_is_drawn_twice():
    drawn = random_trials({"cell": CELL, "arms": ARMS, "lifetimes": LIFETIMES}, 24, seed=0)
    assert len({tuple(one.values()) for one in drawn}) == 24


@pytest.mark.parametrize(
    ("over", "sampler", "asked", "count"),
    [
        ({"cell": CELL, "arms": ARMS}, "grid", None, 6),
        ({"cell": CELL, "arms": ARMS}, "grid", 6, 6),
        ({"rate": RATE}, "random", None, 20),
        ({"cell": CELL}, "random", None, 2),
        ({"cell": CELL, "lifetimes": LIFETIMES}, "random", None, 8),
        ({"cell": CELL}, "tpe", None, 20),
        ({"rate": RATE}, "tpe", 7, 7),
    ],
)
def test_number_of_trials(over, sampler, asked, count):
    assert trial_count(over, sampler, asked) == count


@pytest.mark.parametrize(
    ("over", "sampler", "asked", "says"),
    [
        ({"rate": RATE}, "grid", None, "a grid needs values, and rate has a range. Name the number of its points, as in rate="),
        ({"cell": CELL}, "grid", 5, "the grid has 2 combinations; came --trials 5. Leave --trials out"),
        ({"cell": CELL}, "random", 5, "there are only 2 combinations; came --trials 5. Use --sampler grid"),
        ({"rate": RATE}, "random", 10_001, "a sweep has at most 10,000 trials; this one has 10,001"),
    ],
)
def test_impossible_numbers_of_trials(over, sampler, asked, says):
    with pytest.raises(UsageError, match=says):
        trial_count(over, sampler, asked)
