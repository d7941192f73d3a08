"""Linear algebra without LAPACK, for small matrices, unbatched, in the precision of what they are given.

On a processor JAX hands LAPACK's work to the threads that programs run on, and waits for it on one of them: as many such calls
at a time as there are threads wait for each other. In training that happened to the LU decomposition of value baselines
and to the QR decomposition of orthogonal weights. These are loops over columns instead.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def solve_positive_definite(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """x of `matrix` x = `right`, by elimination without a search for pivots.

    Args:
      matrix: `[n, n]`, symmetric and positive definite.
      right: `[n]`.
    Source: Gauss and Jordan's elimination; Golub and Van Loan 2013, section 4.2, on why it needs no pivots here.
    """

    def eliminate(rows: Float[Array, "n m"], pivot: Array) -> tuple[Float[Array, "n m"], None]:
        row = rows[pivot] / rows[pivot, pivot]
        return (rows - rows[:, pivot, None] * row[None]).at[pivot].set(row), None

    rows = jnp.concatenate([matrix, right[:, None]], axis=1)
    return jax.lax.scan(eliminate, rows, jnp.arange(len(matrix)))[0][:, -1]


def orthogonalised(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The orthogonal matrix whose first k columns span what the first k of this one do, for every k.

    That is Q of the QR decomposition whose R has a positive diagonal. Of independent normal numbers, any one is as likely.

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
