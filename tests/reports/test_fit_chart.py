"""Histograms of real and simulated tasks."""

import numpy as np
import pytest

from quickstudy.reports.fit_chart import bin_edges


@pytest.mark.parametrize("views", [10, 50, 80])
def test_bins_of_shares_hold_as_many_values_each(views):
    shares = np.random.default_rng(0).binomial(views, 0.5, 2000) / views
    edges = bin_edges(shares)
    held = np.histogram(np.arange(views + 1) / views, edges)[0]
    assert len(set(held)) == 1
    assert 2 <= len(held) <= 25
    assert edges[0] < np.quantile(shares, 0.01) < np.quantile(shares, 0.99) < edges[-1]


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(0).standard_normal(500),
        np.array([1.0, 1.0 + 1e-7, 2.0]),  # few values, of very different distances
        np.array([3.0]),
        np.array([]),
    ],
)
def test_other_numbers_have_bins_of_one_width(numbers):
    edges = bin_edges(numbers)
    assert len(edges) == 25
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    assert edges[1] > edges[0]
