"""Counts and sums of rewards as numbers that a small network can use."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Dense, largest

_PSEUDO_COUNTS = (0.5, 1.0, 2.0)


def numbers_of_counts(rewards: int, stored: int) -> int:
    """Numbers that `of_counts` makes of one entry."""
    return len(_PSEUDO_COUNTS) * rewards + stored + 7


def of_counts(
    entry: Float[Array, "*entries columns"], left: Float[Array, "*#entries 1"], rewards: int
) -> Float[Array, "*entries numbers"]:
    """Numbers about one action, from its count and its sums.

    A posterior mean is (prior + sum) / (n + m), and an index adds a bonus for exploration, which falls with the count n and
    with the part of the lifetime that is over. All of these are close to linear in the numbers given here.
    """
    count, sums, stored = entry[..., :1], entry[..., 1 : 1 + rewards], entry[..., 1 + rewards :]
    count = jnp.maximum(count, 0.0)
    unsure, root = 1 / (1 + count), jax.lax.rsqrt(1 + count)
    means = [sums / (count + pseudo) for pseudo in _PSEUDO_COUNTS]
    sure = [unsure, root, 1 / (2 + count), jnp.log1p(count) / 4, left * unsure, left * root, jnp.sqrt(left) * unsure]
    return jnp.concatenate([*means, *sure, stored * unsure], axis=-1)


class Overview(eqx.Module):
    """A few numbers about a row of counts, whatever the number of actions: entries are pooled by mean and largest."""

    of_entry: Dense
    of_row: Dense

    def __init__(self, rewards: int, size: int, *, key: PRNGKeyArray):
        """`rewards`: numbers of a reward; `size`: numbers of the overview."""
        key_entry, key_row = jax.random.split(key)
        self.of_entry = Dense(2 * rewards + 2, size, gain=2.0**0.5, key=key_entry)
        self.of_row = Dense(2 * size, size, gain=2.0**0.5, key=key_row)

    @property
    def size(self) -> int:
        """Numbers of the overview."""
        return self.of_row.bias.size

    def __call__(self, row: Float[Array, "*time actions columns"]) -> Float[Array, "*time size"]:
        """The overview of rows, from the count of each action and the sum of its rewards."""
        rewards = (self.of_entry.weight.shape[1] - 2) // 2
        count, sums = jnp.maximum(row[..., :1], 0.0), row[..., 1 : 1 + rewards]
        unsure, root = 1 / (1 + count), jax.lax.rsqrt(1 + count)
        entry = jax.nn.relu(self.of_entry(sums * unsure, sums * root, unsure, root))
        return jax.nn.relu(self.of_row(entry.mean(-2), largest(entry)))
