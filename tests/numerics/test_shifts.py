"""The likelihood of series with shifts, against a sum over all patterns of shifts."""

import itertools

import numpy as np
import pytest

from quickstudy.numerics.shifts import MOST_SINCE, fit_shifts, shift_log_likelihood


def density_of_segment(values, size):
    """Normal values around one level ~ N(0, size²): covariance 1 + size² for all pairs."""
    count = len(values)
    covariance = np.eye(count) + size**2
    return np.exp(-0.5 * values @ np.linalg.solve(covariance, values)) / np.sqrt(
        (2 * np.pi) ** count * np.linalg.det(covariance)
    )


def drawn_series(random, shape):
    """Series `[series, T]` with a hazard of 0.04 and shifts of size 2.5."""
    shifts = random.random(shape) < 0.04
    shifts[:, 0] = True
    newest = np.maximum.accumulate(np.where(shifts, np.arange(shape[1]), 0), axis=1)
    return np.take_along_axis(2.5 * random.standard_normal(shape), newest, axis=1) + random.standard_normal(shape)


def test_it_is_the_sum_over_all_patterns_of_shifts():
    values, hazard, size = np.asarray([0.3, -1.2, 2.5, 2.9, -0.4]), 0.2, 1.7
    total = 0.0
    for pattern in itertools.product([False, True], repeat=4):
        cuts = [0, *[step + 1 for step, shifts in enumerate(pattern) if shifts], 5]
        chance = np.prod([hazard if shifts else 1 - hazard for shifts in pattern])
        total += chance * np.prod([density_of_segment(values[a:b], size) for a, b in itertools.pairwise(cuts)])
    assert shift_log_likelihood(values[None], hazard=hazard, size=size) == pytest.approx(np.log(total), rel=1e-9)


def test_series_add_up_and_ends_do_not_count():
    values = np.asarray([[0.3, -1.2, 2.5, np.nan], [1.0, 0.0, np.nan, np.nan]])
    both = shift_log_likelihood(values, hazard=0.1, size=2.0)
    apart = [shift_log_likelihood(row[np.isfinite(row)][None], hazard=0.1, size=2.0) for row in values]
    assert both == pytest.approx(sum(apart), rel=1e-9)


@pytest.mark.slow
def test_long_times_are_joined_with_little_error():
    random = np.random.default_rng(0)
    values = random.standard_normal((2, 2 * MOST_SINCE)) + 1.0
    joined = shift_log_likelihood(values, hazard=0.001, size=2.0)
    # Without shifts, all of a series is one segment; shifts are so rare that it dominates.
    count = values.shape[1]
    log_chance = (count - 1) * np.log1p(-0.001)
    exact = 0.0
    for row in values:
        squares = row @ row - (row.sum() ** 2) / (count + 2.0**-2)
        exact += log_chance - 0.5 * (squares + count * np.log(2 * np.pi) + np.log(1 + count * 4.0))
    assert joined == pytest.approx(exact, abs=1.5)


@pytest.mark.slow
def test_the_fit_is_near_the_truth():
    values = drawn_series(np.random.default_rng(1), (40, 120))
    fit, intervals = fit_shifts(values)
    assert fit.hazard == pytest.approx(0.04, rel=0.25)
    assert fit.size == pytest.approx(2.5, rel=0.15)
    assert intervals["size"][0] <= fit.size <= intervals["size"][1]


@pytest.mark.slow
def test_intervals_reach_to_where_the_likelihood_has_fallen_by_two():
    values = drawn_series(np.random.default_rng(2), (80, 80))
    fit, intervals = fit_shifts(values)
    near = np.exp(0.03 * np.arange(-3, 4))
    for hazard in intervals["hazard"]:
        fallen = fit.log_likelihood - max(shift_log_likelihood(values, hazard=hazard, size=fit.size * by) for by in near)
        assert 1.2 < fallen < 3.5
    for size in intervals["size"]:
        fallen = fit.log_likelihood - max(shift_log_likelihood(values, hazard=fit.hazard * by, size=size) for by in near)
        assert 1.2 < fallen < 3.5
