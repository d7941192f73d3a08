"""Small matrices, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.linear_algebra import orthogonalised, solve_positive_definite


@pytest.mark.parametrize("size", [1, 2, 12])
def test_elimination_solves_what_numpy_solves(size):
    numbers = np.random.default_rng(size)
    root = numbers.normal(size=(size, 2 * size))
    matrix, right = root @ root.T + 0.1 * np.eye(size), numbers.normal(size=size)
    with jax.enable_x64(True):
        found = solve_positive_definite(jnp.asarray(matrix), jnp.asarray(right))
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_orthogonalised_is_what_qr_gives(size):
    matrix = jax.random.normal(jax.random.key(size), (size, size))
    q, r = np.linalg.qr(matrix)
    np.testing.assert_allclose(orthogonalised(matrix), q * np.sign(np.diagonal(r)), atol=2e-6)
