"""Fitting and solving, against numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.linear_baseline import linear_baseline, solve_positive_definite


@pytest.mark.parametrize("size", [1, 2, 12])
def test_elimination_solves_what_numpy_solves(size):
    numbers = np.random.default_rng(size)
    root = numbers.normal(size=(size, 2 * size))
    matrix, right = root @ root.T + 0.1 * np.eye(size), numbers.normal(size=size)
    with jax.enable_x64(True):
        found = solve_positive_definite(jnp.asarray(matrix), jnp.asarray(right))
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9)


def test_linear_baseline_finds_a_line():
    keys = jax.random.split(jax.random.key(0), 2)
    observation, valid = jax.random.normal(keys[0], (5, 20, 2)), jax.random.bernoulli(keys[1], 0.8, (5, 20))
    time = jnp.broadcast_to(jnp.arange(20.0) / 20.0, (5, 20))
    returns = 3.0 - 2.0 * observation[..., 0] + observation[..., 1] ** 2 + time**2
    fitted = linear_baseline(observation, jnp.where(valid, returns, 1e3), valid, ridge=1e-6)
    np.testing.assert_allclose(fitted, returns, atol=2e-3)
