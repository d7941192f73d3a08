"""Latent classes: a likelihood by hand, and classes that are found again."""

import numpy as np
import pytest

from quickstudy.numerics.latent_classes import class_weights, fit_classes, log_likelihood

P = np.asarray([[0.9, 0.1], [0.2, 0.6]])
SHOWS, CLICKS = np.asarray([[2.0, 1.0]]), np.asarray([[1.0, 0.0]])


def test_by_hand():
    # Class 0: 0.9 · 0.1 · 0.9 = 0.081; class 1: 0.2 · 0.8 · 0.4 = 0.064; each with probability a half.
    assert log_likelihood(P, SHOWS, CLICKS) == pytest.approx(np.log((0.081 + 0.064) / 2))
    np.testing.assert_allclose(class_weights(P, SHOWS, CLICKS), [[0.081 / 0.145, 0.064 / 0.145]])


def test_classes_are_found_again():
    random = np.random.default_rng(0)
    truth = random.uniform(0.1, 0.9, (3, 12))
    shows = np.full((300, 12), 3.0)
    clicks = random.binomial(3, truth[random.integers(3, size=300)]).astype(float)
    fit = fit_classes(shows, clicks, classes=3, seed=0)
    nearest = np.abs(fit.probability[:, None] - truth[None]).mean(2)
    assert sorted(nearest.argmin(1)) == [0, 1, 2]
    assert nearest.min(1).max() < 0.06
    assert fit.log_likelihood > log_likelihood(truth[:1], shows, clicks)
