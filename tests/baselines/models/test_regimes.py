"""The filter of regimes against the sum over all paths, and what it learns."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models.regimes import (
    Regimes,
    expected_return,
    first_sums,
    growth,
    joint_after,
    learned,
    summed,
    transitions,
    typical,
)

CHANGE = np.array([[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
DRIFT, VOLATILITY = np.array([0.01, -0.02, 0.0]), np.array([0.01, 0.03, 0.02])
RETURNS = (0.012, -0.04, 0.03, 0.005)


def regimes():
    return Regimes(drift=jnp.float32(DRIFT), volatility=jnp.float32(VOLATILITY), change=jnp.float32(CHANGE))


def test_the_belief_is_that_of_all_paths():
    belief = jnp.full(3, 1 / 3)
    after = jax.jit(lambda belief, value: joint_after(belief, regimes(), value))
    for value in RETURNS:
        joint = after(belief, jnp.float32(value))
        belief = joint.sum(0)
    expected = np.zeros((3, 3))
    for path in itertools.product(range(3), repeat=len(RETURNS) + 1):
        weight = 1 / 3
        for before, now, value in zip(path, path[1:], RETURNS, strict=False):
            density = math.exp(-0.5 * ((value - DRIFT[now]) / VOLATILITY[now]) ** 2) / VOLATILITY[now]
            weight *= CHANGE[before, now] * density
        expected[path[-2], path[-1]] += weight
    np.testing.assert_allclose(joint, expected / expected.sum(), atol=1e-5)
    mean, variance = expected_return(belief, regimes())
    following = np.asarray(belief, np.float64) @ CHANGE
    assert float(mean) == pytest.approx(following @ DRIFT, abs=1e-6)
    assert float(variance) == pytest.approx(following @ (VOLATILITY**2 + DRIFT**2) - (following @ DRIFT) ** 2, rel=1e-3)


def test_regimes_last_as_long_as_they_should_and_absent_ones_are_never_entered():
    change = np.asarray(transitions(jnp.float32([10.0, 20.0, 5.0]), jnp.float32([1.0, 1.0, 0.0])))
    np.testing.assert_allclose(change, [[0.9, 0.1, 0.0], [0.05, 0.95, 0.0], [0.1, 0.1, 0.8]], atol=1e-6)
    three = np.asarray(transitions(jnp.full(3, 4.0), jnp.ones(3)))
    np.testing.assert_allclose(three, 0.75 * np.eye(3) + 0.125 * (1 - np.eye(3)), atol=1e-6)


def test_first_sums_give_their_own_parameters_back():
    again = learned(first_sums(typical(), bars=100.0))
    for name in ("drift", "volatility", "change"):
        np.testing.assert_allclose(getattr(again, name), getattr(typical(), name), rtol=1e-3, atol=1e-6)


def test_one_more_bar_counts_where_the_belief_is():
    joint = jnp.zeros((3, 3)).at[0, 1].set(0.75).at[1, 1].set(0.25)
    sums = summed(first_sums(regimes(), bars=3.0), joint, jnp.float32(0.1), kept=0.5)
    np.testing.assert_allclose(sums.weight, [0.5, 1.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(sums.first, 0.5 * DRIFT + [0.0, 0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(sums.second, 0.5 * (DRIFT**2 + VOLATILITY**2) + [0.0, 0.01, 0.0], atol=1e-6)
    np.testing.assert_allclose(sums.pairs[:, 1], 0.5 * CHANGE[:, 1] + [0.75, 0.25, 0.0], atol=1e-6)


def test_growth_is_the_expected_logarithm():
    random = np.random.default_rng(0).normal(0.02, 0.05, 400_000)
    positions = np.float32([-1.0, 0.0, 0.5, 1.0])
    found = np.asarray(growth(positions, jnp.float32(0.02), jnp.float32(0.05**2)))
    expected = [np.log1p(position * random).mean() for position in positions]
    np.testing.assert_allclose(found, expected, atol=3e-4)
