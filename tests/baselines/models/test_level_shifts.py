"""The belief about a level with shifts, against all ways in which the shifts may lie."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models.level_shifts import begin, expected_level, noise_of, take_in

NOISE, HAZARD, SIZE = 0.8, 0.1, 3.0
VALUES = (0.3, -0.2, 4.0, 3.6, 0.1, 3.9)


def by_enumeration(values):
    """The mean of the next level: over all places of shifts, one of them possibly before the next value."""
    total, weight = 0.0, 0.0
    for shifts in itertools.product((False, True), repeat=len(values)):
        starts = [0] + [place for place in range(1, len(values) + 1) if shifts[place - 1]]
        probability = math.prod(HAZARD if shift else 1 - HAZARD for shift in shifts)
        for first, end in itertools.pairwise([*starts, len(values)]):
            regime = np.asarray(values[first:end])
            if len(regime):
                covariance = (SIZE * NOISE) ** 2 * np.ones((len(regime), len(regime))) + NOISE**2 * np.eye(len(regime))
                log_density = -0.5 * (
                    regime @ np.linalg.solve(covariance, regime) + np.linalg.slogdet(2 * np.pi * covariance)[1]
                )
                probability *= math.exp(log_density)
        last = np.asarray(values[starts[-1] :])
        mean = last.sum() / (len(last) + 1 / SIZE**2)
        total, weight = total + probability * mean, weight + probability
    return total / weight


def test_the_expected_level_is_that_of_all_possible_shifts():
    belief = begin(NOISE, SIZE)
    after = jax.jit(functools.partial(take_in, noise=NOISE, hazard=HAZARD, size=SIZE))
    assert float(expected_level(belief)) == 0.0
    for place, value in enumerate(VALUES, start=1):
        belief = after(belief, jnp.float32(value))
        assert float(expected_level(belief)) == pytest.approx(by_enumeration(VALUES[:place]), abs=1e-4)
    assert float(jnp.exp(belief.log_weight).sum()) == pytest.approx(1.0, abs=1e-5)


def test_noise_is_measured_by_the_mean_absolute_change():
    random = np.random.default_rng(0)
    shifts = random.random(400_000) < HAZARD
    places = np.maximum.accumulate(np.where(shifts, np.arange(len(shifts)), 0))
    values = (SIZE * random.normal(size=len(shifts)))[places] + random.normal(size=len(shifts))
    assert 1 / np.abs(np.diff(values)).mean() == pytest.approx(noise_of(HAZARD, SIZE), rel=0.01)


@pytest.mark.parametrize(("hazard", "forecast"), [(0.0, sum(VALUES) / (len(VALUES) + 1 / SIZE**2)), (1.0, 0.0)])
def test_levels_that_never_shift_have_one_mean_and_those_that_always_do_have_none(hazard, forecast):
    belief = begin(NOISE, SIZE)
    for value in VALUES:
        belief = take_in(belief, jnp.float32(value), noise=NOISE, hazard=hazard, size=SIZE)
    assert float(expected_level(belief)) == pytest.approx(forecast, abs=1e-5)
