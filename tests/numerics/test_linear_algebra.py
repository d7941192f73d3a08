"""Small matrices, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.linear_algebra import cholesky, orthogonalised, solve, solve_lower, solve_upper


@pytest.mark.parametrize("columns", [(), (1,), (3,)])
@pytest.mark.parametrize("size", [1, 2, 12])
def test_what_numpy_finds(size, columns):
    numbers = np.random.default_rng(size)
    root = numbers.normal(size=(size, 2 * size))
    matrix, right = root @ root.T + 0.1 * np.eye(size), numbers.normal(size=(size, *columns))
    with jax.enable_x64(True):
        given, wanted = jnp.asarray(matrix), jnp.asarray(right)
        lower = np.linalg.cholesky(matrix)
        np.testing.assert_allclose(cholesky(given), lower, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(solve(given, wanted), np.linalg.solve(matrix, right), rtol=1e-9)
        np.testing.assert_allclose(solve_lower(jnp.asarray(lower), wanted), np.linalg.solve(lower, right), rtol=1e-9)
        np.testing.assert_allclose(solve_upper(jnp.asarray(lower.T), wanted), np.linalg.solve(lower.T, right), rtol=1e-9)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_orthogonalised_is_what_qr_gives(size):
    matrix = jax.random.normal(jax.random.key(size), (size, size))
    q, r = np.linalg.qr(matrix)
    np.testing.assert_allclose(orthogonalised(matrix), q * np.sign(np.diagonal(r)), atol=2e-6)
