"""Linear algebra without LAPACK, for small unbatched matrices, in the precision of the arguments.

On a processor JAX runs LAPACK on the same threads as programs, and waits for it on one of them. So as many simultaneous calls
as there are threads deadlock. In training this happened with the LU decomposition of value baselines and the QR decomposition
of orthogonal weights. These functions are loops over columns instead.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve(matrix: Float[Array, "n n"], right: Float[Array, "n *columns"]) -> Float[Array, "n *columns"]:
    """x of `matrix` x = `right`, by elimination without a search for pivots.

    Args:
      matrix: `[n, n]`, symmetric and positive definite.
      right: `[n]` or `[n, columns]`.
    Source: Gauss and Jordan's elimination; Golub and Van Loan 2013, section 4.2, on why it needs no pivots here.
    """

    def eliminate(rows: Float[Array, "n m"], pivot: Array) -> tuple[Float[Array, "n m"], None]:
        row = rows[pivot] / rows[pivot, pivot]
        return (rows - rows[:, pivot, None] * row[None]).at[pivot].set(row), None

    size = len(matrix)
    rows = jnp.concatenate([matrix, right.reshape(size, -1)], axis=1)
    return jax.lax.scan(eliminate, rows, jnp.arange(size))[0][:, size:].reshape(right.shape)


def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The lower triangular L with `matrix` = L Lᵀ, and a positive diagonal."""
    places = jnp.arange(len(matrix))

    def column(lower: Float[Array, "n n"], index: Array) -> tuple[Float[Array, "n n"], None]:
        left = matrix[:, index] - lower @ lower[index]
        return lower.at[:, index].set(jnp.where(places >= index, left / jnp.sqrt(left[index]), 0.0)), None

    return jax.lax.scan(column, jnp.zeros_like(matrix), places)[0]


def solve_lower(lower: Float[Array, "n n"], right: Float[Array, "n *columns"]) -> Float[Array, "n *columns"]:
    """x of `lower` x = `right`, for a lower triangular matrix."""
    columns = right.reshape(len(lower), -1)

    def row(found: Float[Array, "n k"], index: Array) -> tuple[Float[Array, "n k"], None]:
        return found.at[index].set((columns[index] - lower[index] @ found) / lower[index, index]), None

    return jax.lax.scan(row, jnp.zeros_like(columns), jnp.arange(len(lower)))[0].reshape(right.shape)


def solve_upper(upper: Float[Array, "n n"], right: Float[Array, "n *columns"]) -> Float[Array, "n *columns"]:
    """x of `upper` x = `right`, for an upper triangular matrix: `solve_lower` in reversed order."""
    return solve_lower(upper[::-1, ::-1], right[::-1])[::-1]


def orthogonalised(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The orthogonal matrix whose first k columns span the same space as the first k columns of this one, for every k.

    It is Q of the QR decomposition whose R has a positive diagonal. For independent normal numbers it is uniformly distributed.

    Args:
      matrix: `[n, n]`, of full rank.
    Source: Gram and Schmidt, each column twice (Giraud et al. 2005).
    """

    def column(basis: Float[Array, "n n"], index: Array) -> tuple[Float[Array, "n n"], None]:
        vector = matrix[:, index]
        for _ in range(2):
            vector = vector - basis @ (basis.T @ vector)
        return basis.at[:, index].set(vector / jnp.linalg.norm(vector)), None

    return jax.lax.scan(column, jnp.zeros_like(matrix), jnp.arange(len(matrix)))[0]
