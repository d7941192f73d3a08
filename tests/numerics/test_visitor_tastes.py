"""Chances of single visitors, against a search by SciPy and by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from quickstudy.numerics.visitor_tastes import Tastes, completed_chances

RANDOM = np.random.default_rng(3)
TASTES = Tastes(
    centres=np.array([[1.0, 0.2], [-0.4, 0.8], [0.3, -1.0]]),
    vectors=RANDOM.standard_normal((6, 2)),
    base=-0.3,
    strength=1.7,
    offset=0.2,
)
SHOWS = np.array([[3.0, 0, 1, 0, 5, 0], [0, 0, 0, 0, 0, 0], [0, 9, 0, 9, 0, 9]])
CLICKS = np.array([[2.0, 0, 0, 0, 5, 0], [0, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 9]])


def searched(shows, clicks):
    """The chances at the most likely taste, found by a search without derivatives."""
    middle = TASTES.centres.mean(0)
    variance = TASTES.offset**2 + np.square(TASTES.centres - middle).mean()
    chance = lambda taste: 1 / (1 + np.exp(-(TASTES.base + TASTES.strength * TASTES.vectors @ taste)))  # noqa: E731

    def loss(taste):
        likely = clicks @ np.log(chance(taste)) + (shows - clicks) @ np.log1p(-chance(taste))
        return np.square(taste - middle).sum() / (2 * variance) - likely

    return chance(minimize(loss, middle, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}).x)


def test_what_a_visitor_did_counts_beside_the_model():
    found = completed_chances(SHOWS, CLICKS, TASTES, trust=2.0)
    for number in range(3):
        model = searched(SHOWS[number], CLICKS[number])
        np.testing.assert_allclose(found[number], (2 * model + CLICKS[number]) / (2 + SHOWS[number]), atol=1e-5)


def test_a_visitor_of_whom_nothing_is_known_has_the_mean_taste():
    found = completed_chances(SHOWS[1:2], CLICKS[1:2], TASTES, trust=2.0)[0]
    odds = TASTES.base + TASTES.strength * TASTES.vectors @ TASTES.centres.mean(0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-odds)), rtol=1e-6)


def test_with_little_trust_the_own_share_is_left():
    found = completed_chances(SHOWS, CLICKS, TASTES, trust=1e-6)
    shown = SHOWS > 0
    assert found[shown] == pytest.approx(CLICKS[shown] / SHOWS[shown], abs=1e-5)
