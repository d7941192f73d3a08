"""Grids over hidden rates and lifts, against closed forms and against a plain double sum."""

import math

import numpy as np
import pytest

from quickstudy.numerics.empirical_bayes import (
    LIFTS,
    RATES,
    BetaFit,
    beta_weights,
    fit_beta,
    fit_lifts,
    lift_likelihoods,
    lift_weights,
)


def log_beta(a, b):
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def test_the_grid_gives_the_beta_binomial_likelihood():
    """Up to the constant of the data: B(α + x, β + n - x) / B(α, β) is the marginal likelihood."""
    rates = 1 / (1 + np.exp(-RATES))
    alpha, beta, count, paid = 2.0, 38.0, 400, 31
    weights = beta_weights(np.asarray([alpha]), np.asarray([beta]))[0]
    assert weights @ rates == pytest.approx(alpha / (alpha + beta), rel=1e-4)
    found = math.log(weights @ (rates**paid * (1 - rates) ** (count - paid)))
    assert found == pytest.approx(log_beta(alpha + paid, beta + count - paid) - log_beta(alpha, beta), abs=1e-4)


def test_the_best_beta_distribution_beats_its_neighbours():
    random = np.random.default_rng(1)
    counts = np.full(300, 5000.0)
    paid = random.binomial(5000, random.beta(5.0, 45.0, 300)).astype(float)

    def exact(alpha, beta):
        each = [log_beta(alpha + x, beta + n - x) for n, x in zip(counts, paid, strict=True)]
        return sum(each) - len(each) * log_beta(alpha, beta)

    fit = fit_beta(counts, paid)
    best = exact(fit.alpha, fit.beta)
    assert fit.alpha == pytest.approx(5.0, rel=0.2)
    assert fit.mean == pytest.approx(0.1, rel=0.05)
    for factor in (0.9, 1.1):
        assert exact(fit.alpha * factor, fit.beta) < best
        assert exact(fit.alpha, fit.beta * factor) < best
        assert exact(fit.alpha * factor, fit.beta * factor) < best + 0.05


def test_likelihoods_of_lifts_are_those_of_a_plain_double_sum():
    rates = BetaFit(alpha=2.0, beta=38.0, log_likelihood=0.0)
    prior = beta_weights(np.asarray([2.0]), np.asarray([38.0]))[0]
    pair = [np.asarray([float(number)]) for number in (300, 20, 310, 30)]
    found = lift_likelihoods(rates, (pair[0], pair[1]), (pair[2], pair[3]))[0]
    plain = []
    for lift in LIFTS[200:400:25]:
        control, treated = 1 / (1 + np.exp(-RATES)), 1 / (1 + np.exp(-RATES - lift))
        inside = (RATES + lift >= RATES[0] - 1e-9) & (RATES + lift <= RATES[-1] + 1e-9)
        terms = prior * control**20 * (1 - control) ** 280 * treated**30 * (1 - treated) ** 280
        plain.append((terms * inside).sum())
    np.testing.assert_allclose(found[200:400:25] / found[200], np.asarray(plain) / plain[0], rtol=1e-3)


def test_the_mixture_finds_nulls_and_the_size_of_the_others():
    random = np.random.default_rng(2)
    count = 2000
    lift = np.where(random.random(count) < 0.5, 0.0, 0.3 * random.standard_normal(count))
    seen = lift + 0.05 * random.standard_normal(count)
    likelihoods = np.exp(-0.5 * ((LIFTS[None] - seen[:, None]) / 0.05) ** 2)
    fit = fit_lifts(likelihoods)
    assert fit.deviation == pytest.approx(0.3, rel=0.08)
    assert fit.null_share == pytest.approx(0.5, abs=0.05)
    assert fit.null_share_interval[0] < 0.5 < fit.null_share_interval[1]
    assert lift_weights(np.asarray([0.3]))[0].sum() == pytest.approx(1.0)
