"""Ends of demand levels and elasticities: the likelihood of one rectangle by a plain sum, and a known truth."""

import numpy as np
import pytest

from quickstudy.numerics.demand_fit import ELASTICITIES, fit_demand


def drawn(products, *, periods=20, level=(5.0, 80.0), elasticity=(0.8, 4.0), seed=0):
    """Logarithms of prices, and sales."""
    random = np.random.default_rng(seed)
    logs, sales = [], []
    for _ in range(products):
        x = np.log(random.choice(np.geomspace(1.2, 6, 12), periods) / 7.2**0.5)
        rate = np.exp(random.uniform(*np.log(level))) * np.exp(-random.uniform(*elasticity) * x)
        logs.append(x)
        sales.append(random.poisson(rate).astype(float))
    return logs, sales


def test_the_truth_is_found():
    fit = fit_demand(*drawn(300))
    np.testing.assert_allclose(fit.level, [5.0, 80.0], rtol=0.2)
    np.testing.assert_allclose(fit.elasticity, [0.8, 4.0], atol=0.15)


def test_narrow_priors_are_told_from_wide_ones():
    fit = fit_demand(*drawn(60, level=(30.0, 40.0), elasticity=(1.9, 2.1), seed=1))
    assert fit.level[1] / fit.level[0] < 2.0
    assert fit.elasticity[1] - fit.elasticity[0] < 0.8
    assert fit.elasticity[0] < 2.0 < fit.elasticity[1] + 0.1


def test_one_product_alone_has_the_place_of_its_largest_likelihood():
    """With one product, the mean over a rectangle is largest at a single cell: the maximum of the Poisson likelihood."""
    x = np.log([0.5, 1.0, 2.0])
    y = np.asarray([160.0, 40.0, 10.0])  # elasticity exactly 2 and level 40
    fit = fit_demand([x], [y])
    assert fit.elasticity == pytest.approx((2.0, 2.0), abs=1e-9)
    assert fit.level[0] == pytest.approx(40.0, rel=0.06)
    assert np.isclose(ELASTICITIES, 2.0).any()
