"""A bounded store of whole lifetimes, for algorithms that learn from older ones too; it lives in the train state."""

from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy.records import record


@record
class Replay:
    """The last lifetimes that were added, at most as many as there is room for.

    `lifetimes`: leaves `[room, T, ...]`. `added` `[]`: how many were ever added; the oldest gives way.
    """

    lifetimes: PyTree
    added: Int[Array, ""]

    @classmethod
    def with_room_for(cls, room: int, example: PyTree) -> Self:
        """An empty store.

        Args:
          room: lifetimes.
          example: one lifetime `[T, ...]`, or its shapes.
        """
        empty = lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype)  # noqa: E731
        return cls(lifetimes=jax.tree.map(empty, example), added=jnp.int32(0))

    @property
    def room(self) -> int:
        """Most lifetimes that are held."""
        return int(jax.tree.leaves(self.lifetimes)[0].shape[0])

    @property
    def held(self) -> Int[Array, ""]:
        """How many are held now."""
        return jnp.minimum(self.added, self.room)

    @property
    def bytes(self) -> int:
        """Of memory, whether full or empty."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.lifetimes))

    def after(self, lifetimes: PyTree) -> Self:
        """With more lifetimes `[T, more, ...]`, time-major as they were lived; no more at once than there is room for."""
        fresh = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), lifetimes)
        more = jax.tree.leaves(fresh)[0].shape[0]
        places = (self.added + jnp.arange(more)) % self.room
        held = jax.tree.map(lambda old, new: old.at[places].set(new), self.lifetimes, fresh)
        return type(self)(lifetimes=held, added=self.added + more)

    def draw(self, key: PRNGKeyArray, lifetimes: int) -> PyTree:
        """So many lifetimes `[T, lifetimes, ...]`, drawn evenly and with replacement from those that are held."""
        places = jax.random.randint(key, (lifetimes,), 0, jnp.maximum(self.held, 1))
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf[places], 0, 1), self.lifetimes)
