"""Main effects: a design worked by hand, SciPy as the reference, and how often truths are found and missed."""

import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.main_effects import holm, main_effects

TWO = np.asarray([[0.0], [1.0]])


def test_a_balanced_design_by_hand():
    # Two settings of two levels, two observations each. Level means: a 2 and 5, b 3 and 4; the mean is 3.5.
    a = np.asarray([0, 0, 0, 0, 1, 1, 1, 1.0])[:, None]
    b = np.asarray([0, 0, 1, 1, 0, 0, 1, 1.0])[:, None]
    observed = np.asarray([1, 2, 2, 3, 4, 5, 5, 6.0])
    fit = main_effects({"a": a, "b": b}, {"a": TWO, "b": TWO}, observed)
    assert [one.value for one in fit.effects["a"].curve] == pytest.approx([2, 5])
    assert [one.value for one in fit.effects["b"].curve] == pytest.approx([3, 4])
    # Residuals are ±0.5, so s² = 8 · 0.25 / 5 = 0.4; the variance of a difference of two means of four is s² / 2 = 0.2.
    half = stats.t.ppf(0.975, 5) * 0.2**0.5
    difference = fit.effects["b"].difference
    assert (difference.low, difference.value, difference.high) == pytest.approx((1 - half, 1, 1 + half))
    assert fit.effects["b"].p_value == pytest.approx(2 * stats.t.sf(1 / 0.2**0.5, 5))
    assert (fit.effects["a"].best, fit.effects["a"].worst, fit.freedom) == (1, 0, 5)
    # Total 22, of which a explains 18 and b 2; adjusted: 1 - 0.4 / (22 / 7).
    assert fit.effects["a"].share == pytest.approx((18 - 0.4) / 22)
    assert fit.explained == pytest.approx(1 - 0.4 * 7 / 22)


def test_one_choice_is_a_one_way_analysis_of_variance():
    generator = np.random.default_rng(0)
    groups = [generator.normal(mean, 1.0, size) for mean, size in ((0, 4), (1, 6), (0.5, 5))]
    level = np.repeat([0, 1, 2], [4, 6, 5])
    columns = (level[:, None] == np.asarray([1, 2])).astype(float)
    points = np.asarray([[0, 0], [1, 0], [0, 1]], float)
    fit = main_effects({"choice": columns}, {"choice": points}, np.concatenate(groups))
    effect = fit.effects["choice"]
    assert effect.p_value == pytest.approx(stats.f_oneway(*groups).pvalue)
    assert [one.value for one in effect.curve] == pytest.approx([group.mean() for group in groups])


def test_too_few_observations_and_settings_that_vary_together_have_no_fit():
    a = np.asarray([0, 1, 0, 1.0])[:, None]
    observed = np.arange(4.0)
    assert main_effects({"a": a, "b": a}, {"a": TWO, "b": TWO}, observed) is None
    assert main_effects({"a": a[:2]}, {"a": TWO}, observed[:2]) is None


def test_observations_without_noise():
    a = np.asarray([0, 1, 0, 1, 0, 1.0])[:, None]
    b = np.asarray([0, 0, 1, 1, 0, 1.0])[:, None]
    fit = main_effects({"a": a, "b": b}, {"a": TWO, "b": TWO}, 0.1 + 3 * a[:, 0])
    assert (fit.effects["a"].p_value, fit.effects["b"].p_value) == (0.0, 1.0)
    assert fit.effects["a"].difference.low == pytest.approx(3)
    level = main_effects({"a": a}, {"a": TWO}, np.full(6, 0.3))
    assert (level.effects["a"].p_value, level.explained) == (1.0, 0.0)


def test_how_often_truths_are_found_and_missed():
    """Twenty observations of a curve that matters and a choice that does not, with errors that are not normal."""
    generator = np.random.default_rng(1)
    at = np.linspace(-1, 1, 9)
    points = {"rate": np.stack([at, at**2], 1), "cell": np.asarray([[0, 0], [1, 0], [0, 1]], float)}
    truth = -2 * (at - 0.3) ** 2
    found = false = covered = 0
    for _ in range(200):
        rate, cell = generator.uniform(-1, 1, 20), generator.permutation(np.arange(20) % 3)
        observed = -2 * (rate - 0.3) ** 2 + 0.3 * generator.standard_t(5, 20)
        columns = {"rate": np.stack([rate, rate**2], 1), "cell": (cell[:, None] == np.asarray([1, 2])).astype(float)}
        effects = main_effects(columns, points, observed).effects
        found += effects["rate"].p_value < 0.05
        false += effects["cell"].p_value < 0.05
        # The chosen difference: the truth between the same two points lies within the interval.
        one = effects["rate"]
        covered += one.difference.low <= truth[one.best] - truth[one.worst] <= one.difference.high
        assert (effects["cell"].p_value < 0.05) >= (effects["cell"].difference.low > 0)
    assert found >= 195
    assert 2 <= false <= 20  # 10 expected of 200
    assert covered >= 190


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
