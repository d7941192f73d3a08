"""Sums of past values, weighted by how well their keys match a query: linear attention without a softmax.

    read_t = Σ_{s < t} (q_t · k_s) v_s        table = Σ_s k_s v_sᵀ, so that read_t = q_tᵀ table_t

Lifetimes are cut into blocks. Within a block the weights q_t · k_s are computed for every pair of steps. What came before
the block is read from the table of the block's beginning. So nothing runs step by step, and memory grows with T, not with T².

Source: Katharopoulos et al. 2020, in the form by blocks of Hua et al. 2022.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

BLOCK = 32
"""Steps of a block. On a processor, lengths from 16 to 64 are about as fast."""


def addressed_sums(
    table: Float[Array, "*lifetimes heads addresses values"],
    queries: Float[Array, "T *lifetimes heads addresses"],
    keys: Float[Array, "T *lifetimes heads addresses"],
    values: Float[Array, "T *lifetimes values"],
) -> tuple[Float[Array, "*lifetimes heads addresses values"], Float[Array, "T *lifetimes heads values"]]:
    """The table after all steps, and what every step reads of those before it.

    Args:
      table: before the first step.
      queries: of the steps.
      keys: of the steps; zero for a step that did not happen.
      values: of the steps; all heads store the same.
    """
    steps = len(keys)
    length = min(steps, BLOCK)
    cut = lambda x: _in_blocks(x, length)  # noqa: E731
    queries, keys, values = cut(queries), cut(keys), cut(values)
    added = jnp.einsum("nt...ha,nt...v->n...hav", keys, values)
    after = table[None] + jnp.cumsum(added, axis=0)
    before = jnp.concatenate([table[None], after[:-1]])
    weights = jnp.tril(jnp.einsum("nt...ha,ns...ha->n...hts", queries, keys), -1)
    within = jnp.einsum("n...hts,ns...v->nt...hv", weights, values)
    read = within + jnp.einsum("nt...ha,n...hav->nt...hv", queries, before)
    return after[-1], read.reshape(-1, *read.shape[2:])[:steps]


def _in_blocks(x: Float[Array, "T *rest"], length: int) -> Float[Array, "blocks length *rest"]:
    """Cut along time; zeros fill the last block."""
    missing = -len(x) % length
    padded = jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1)))
    return padded.reshape(-1, length, *x.shape[1:])
