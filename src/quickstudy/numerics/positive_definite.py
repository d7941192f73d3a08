"""Small positive definite matrices, without LAPACK.

JAX hands LAPACK's work to the threads that programs run on, and two calls at a time can wait for each other for ever. These are
loops over columns: right for matrices of up to a few hundred rows, unbatched, in the precision of what they are given.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve(matrix: Float[Array, "n n"], right: Float[Array, "n *columns"]) -> Float[Array, "n *columns"]:
    """x of `matrix` x = `right`, by elimination without a search for pivots."""

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
    """x of `lower` x = `right`, where nothing stands above the diagonal."""
    columns = right.reshape(len(lower), -1)

    def row(found: Float[Array, "n k"], index: Array) -> tuple[Float[Array, "n k"], None]:
        return found.at[index].set((columns[index] - lower[index] @ found) / lower[index, index]), None

    return jax.lax.scan(row, jnp.zeros_like(columns), jnp.arange(len(lower)))[0].reshape(right.shape)


def solve_upper(upper: Float[Array, "n n"], right: Float[Array, "n *columns"]) -> Float[Array, "n *columns"]:
    """x of `upper` x = `right`, where nothing stands below the diagonal: the same, read from its far end."""
    return solve_lower(upper[::-1, ::-1], right[::-1])[::-1]
