"""Tables that are written under keys and read by queries: linear attention without a softmax.

    counting      table_t = table_{t-1} + k_t v_tᵀ
    forgetting    table_t = g_t table_{t-1} + k_t v_tᵀ                          0 < g_t < 1
    replacing     table_t = table_{t-1} + g_t k_t (v_t − table_{t-1}ᵀ k_t)ᵀ       the delta rule
    read_t = table_{t-1}ᵀ q_t                                                   what step t finds, before it is stored

Counting and forgetting cut lifetimes into blocks. Within a block the weights q_t · k_s are computed for every pair of steps.
What came before the block is read from the table of the block's beginning. So nothing runs step by step, and memory grows with
T, not with T². Replacing runs step by step.

Source: Katharopoulos et al. 2020 (counting), in the form by blocks of Hua et al. 2022; Yang et al. 2024 (forgetting, gated
linear attention); Schlag et al. 2021 (replacing). Changed: one gate for a whole head.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BLOCK = 32
"""Steps of a block. On a processor, lengths from 16 to 64 are about as fast."""

Table = Float[Array, "*lifetimes heads addresses values"]
Reads = Float[Array, "T *lifetimes heads values"]


def addressed_sums(
    table: Table,
    queries: Float[Array, "T *lifetimes heads addresses"],
    keys: Float[Array, "T *lifetimes heads addresses"],
    values: Float[Array, "T *lifetimes values"],
    keep: Float[Array, "T *lifetimes heads"] | None = None,
) -> tuple[Table, Reads]:
    """The table after all steps, and what every step reads of those before it: counting, or forgetting.

    Args:
      table: before the first step.
      queries: of the steps.
      keys: of the steps; zero for a step that did not happen.
      values: of the steps; all heads store the same.
      keep: logarithm of g, 0 for a step that did not happen; None counts.
    """
    steps = len(keys)
    length = min(steps, BLOCK)
    cut = lambda x: _in_blocks(x, length)  # noqa: E731
    queries, keys, values = cut(queries), cut(keys), cut(values)
    weights = jnp.einsum("nt...ha,ns...ha->nts...h", queries, keys)
    if keep is None:
        added = jnp.einsum("nt...ha,nt...v->n...hav", keys, values)
        after = table[None] + jnp.cumsum(added, axis=0)
        asked = queries
    else:
        total = jnp.cumsum(cut(keep), axis=1)  # of each step, from the beginning of its block
        before = total - cut(keep)
        since = before[:, :, None] - total[:, None]  # what step t has kept of step s
        weights = weights * jnp.exp(jnp.minimum(since, 0.0))
        left = jnp.exp(total[:, -1:] - total)
        added = jnp.einsum("nt...ha,nt...h,nt...v->n...hav", keys, left, values)
        after = _chained(table, jnp.exp(total[:, -1])[..., None, None], added)
        asked = queries * jnp.exp(before)[..., None]
    earlier = jnp.tril(jnp.ones((length, length)), -1).reshape(1, length, length, *(1,) * (weights.ndim - 3))
    within = jnp.einsum("nts...h,ns...v->nt...hv", weights * earlier, values)
    read = within + jnp.einsum("nt...ha,n...hav->nt...hv", asked, jnp.concatenate([table[None], after[:-1]]))
    return after[-1], read.reshape(-1, *read.shape[2:])[:steps]


def replaced_sums(
    table: Table,
    queries: Float[Array, "T *lifetimes heads addresses"],
    keys: Float[Array, "T *lifetimes heads addresses"],
    values: Float[Array, "T *lifetimes values"],
    rate: Float[Array, "T *lifetimes heads"],
) -> tuple[Table, Reads]:
    """The table after all steps, and what every step reads of those before it: replacing.

    Args:
      table: before the first step.
      queries: of the steps.
      keys: of the steps; zero for a step that did not happen.
      values: of the steps; all heads store the same.
      rate: g, from 0 to 1.
    """

    def step(table: Table, now: tuple[Array, ...]) -> tuple[Table, Array]:
        query, key, value, rate = now
        read = jnp.einsum("...ha,...hav->...hv", query, table)
        wrong = value[..., None, :] - jnp.einsum("...ha,...hav->...hv", key, table)
        return table + jnp.einsum("...h,...ha,...hv->...hav", rate, key, wrong), read

    return jax.lax.scan(step, table, (queries, keys, values, rate))


def _chained(table: Table, keep: Array, added: Array) -> Float[Array, "blocks *lifetimes heads addresses values"]:
    """The table after every block, from what each block keeps and adds."""

    def step(table: Array, block: tuple[Array, Array]) -> tuple[Array, Array]:
        after = block[0] * table + block[1]
        return after, after

    return jax.lax.scan(step, table, (keep, added))[1]


def _in_blocks(x: Float[Array, "T *rest"], length: int) -> Float[Array, "blocks length *rest"]:
    """Cut along time; zeros fill the last block."""
    missing = -len(x) % length
    padded = jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1)))
    return padded.reshape(-1, length, *x.shape[1:])
