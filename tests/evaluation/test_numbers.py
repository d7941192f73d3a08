"""How numbers read: each case is written out by hand."""

import numpy as np
import pytest

from quickstudy.evaluation import numbers
from quickstudy.numerics.statistics import CensoredEstimate, Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [(407.68, "407.7"), (77.618, "77.62"), (0.85349, "0.853"), (-1.5, "−1.50"), (-1e-9, "0.000"), (None, "never")],
)
def test_a_number_has_as_many_decimals_as_help(value, text):
    assert numbers.number(value) == text


def test_signs_are_written_where_they_are_asked_for():
    assert numbers.number(2.0, signed=True) == "+2.00"
    assert numbers.number(0.0, signed=True) == "0.000"
    assert numbers.bounded(Estimate(value=2.0, low=-1.0, high=5.0), signed=True) == "+2.00 [−1.00, 5.00]"


def test_an_interval_has_the_decimals_of_its_largest_number():
    assert numbers.bounded(Estimate(value=77.618, low=0.5, high=178.0)) == "77.6 [0.5, 178.0]"
    assert numbers.ends(Estimate(value=3.0, low=2.0, high=None)) == "[2.00, never]"


def test_parts_of_a_hundred():
    assert numbers.percent(0.75) == "75 %"
    assert numbers.percent(-0.0123, 1) == "−1.2 %"
    assert numbers.bounded_percent(Estimate(value=0.75, low=0.701, high=0.799)) == "75.0 % [70.1, 79.9]"


CENSORED = {
    "known": ((12.0, 12.0, 9.0, 15.0), "12", "12 [9, 15]"),
    "not within the lifetime": ((500.0, None, 120.0, None), "> 500", "> 500 [120, ∞]"),
    "at most": ((0.0, 0.53, 0.0, 2.0), "< 0.53", "< 0.53 [0, 2]"),
    "between": ((2.0, 3.0, 1.0, 4.0), "2 to 3", "2 to 3 [1, 4]"),
    "between numbers that read the same": ((2000.1, 2000.4, 1.0, None), "2,000", "2,000 [1, ∞]"),
    "never": ((None, None, None, None), "never", "never"),
    "unknown": ((0.0, None, 0.0, None), "unknown", "unknown"),
    "unknown, with an end": ((0.0, None, 0.5, None), "unknown", "unknown [0.5, ∞]"),
}


@pytest.mark.parametrize("case", CENSORED)
def test_a_censored_number_says_no_more_than_is_known(case):
    (at_least, at_most, low, high), short, long = CENSORED[case]
    estimate = CensoredEstimate(at_least=at_least, at_most=at_most, low=low, high=high)
    assert numbers.censored_number(estimate) == short
    assert numbers.censored_bounded(estimate) == long


def test_counts():
    assert [numbers.count(x) for x in (0.53, 3.5, 7, 1240.4)] == ["0.53", "3.5", "7", "1,240"]
    assert [numbers.short_count(x) for x in (250, 15_300, 1_240_000)] == ["250", "15.3 k", "1.24 M"]
    assert [numbers.tick(x) for x in (0, 400, 20000, 1500000)] == ["0", "400", "20k", "1.5M"]
    assert [numbers.counted(x, "seed") for x in (1, 5)] == ["1 seed", "5 seeds"]


def test_sizes_and_times():
    assert [numbers.byte_size(x) for x in (512, 1536, 2**21)] == ["512 B", "1.5 KiB", "2.0 MiB"]
    assert [numbers.duration(x) for x in (45.2, 720)] == ["45 s", "12 min"]
    assert numbers.clock(185.9) == "3:05 min"


def test_a_mean_over_seeds_names_the_least_and_the_largest():
    assert numbers.over_seeds([2.0]) == "2.00"
    assert numbers.over_seeds([1.0, 2.0, 6.0]) == "3.00 (1.00 to 6.00)"


def test_words_in_a_row():
    assert [numbers.listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_named_values_of_a_task():
    task = {"speed (m/s)": np.float32(-1.23456), "level": np.int32(-7), "name": np.asarray("a-b"), "mass": np.arange(9.0)}
    assert numbers.named_values(task) == "speed (m/s): −1.23; level: −7; name: a-b; mass: 0 1 2 3 4 5 …"
