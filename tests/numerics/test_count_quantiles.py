"""Binomial and Poisson counts against SciPy's distribution."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.count_quantiles import binomial_quantile, poisson_quantile


@pytest.mark.parametrize(
    ("trials", "probability"), [(500, 0.0005), (500, 0.002), (500, 0.0239), (500, 0.0245), (500, 0.05), (800, 0.5), (200, 0.1)]
)
def test_the_counts_of_even_numbers_are_binomial(trials, probability):
    uniform = jnp.float32((np.arange(100_000) + 0.5) / 100_000)
    ones = jnp.ones_like(uniform)
    counts = np.asarray(binomial_quantile(uniform, trials * ones, probability * ones)).astype(int)
    known = stats.binom.pmf(np.arange(trials + 1), trials, probability)
    found = np.bincount(counts, minlength=trials + 1) / len(counts)
    assert np.abs(found - known).sum() / 2 < 5e-4


@pytest.mark.parametrize("mean", [0.0, 0.3, 5.0, 11.9, 12.1, 80.0, 2000.0])
def test_the_counts_of_even_numbers_are_poisson(mean):
    uniform = jnp.float32((np.arange(100_000) + 0.5) / 100_000)
    counts = np.asarray(poisson_quantile(uniform, jnp.full_like(uniform, mean))).astype(int)
    known = stats.poisson.pmf(np.arange(counts.max() + 50), mean)
    found = np.bincount(counts, minlength=len(known)) / len(counts)
    assert np.abs(found - known).sum() / 2 < (5e-4 if mean < 1000 else 5e-3)  # 100,000 numbers are coarse for many values


def test_no_trials_have_no_successes_and_counts_rise_with_the_probability():
    uniform = jnp.float32([0.001, 0.5, 0.999])
    assert not binomial_quantile(uniform, jnp.zeros(3), jnp.full(3, 0.3)).any()
    low, high = (binomial_quantile(uniform, jnp.full(3, 500.0), jnp.full(3, rate)) for rate in (0.05, 0.06))
    assert (low <= high).all()
    assert (low < high).any()
