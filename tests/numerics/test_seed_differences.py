"""The difference between the training seeds of two agents."""

import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.seed_differences import mean_difference


def test_the_interval_is_that_of_welch():
    ours, theirs = np.asarray([5.0, 6.0, 8.0]), np.asarray([1.0, 3.0, 3.5, 2.0])
    found = mean_difference(ours, theirs)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(19 / 3 - 9.5 / 4)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_interval():
    assert mean_difference(np.asarray([5.0]), np.asarray([1.0, 2.0])) is None


def test_seeds_without_differences_have_an_interval_of_length_zero():
    found = mean_difference(np.asarray([5.0, 5.0]), np.asarray([2.0, 2.0]))
    assert (found.value, found.low, found.high) == (3.0, 3.0, 3.0)
