"""A tree as a flat list of its leaves that hold numbers: what is carried from one call of a compiled program to the next."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class Leaves:
    """How trees of one structure are taken apart and put together.

    Flattening a tree of modules in Python costs more than a small network, so programs are called with flat lists. Leaves
    without a number, such as the pending steps of an agent with a cadence of 1, are left out: each would cost as much as a
    full one.

    Args:
      like: a tree of arrays, or of their shapes and types.
    """

    def __init__(self, like: PyTree):
        leaves, self._structure = jax.tree.flatten(like)
        self._shapes = [(leaf.shape, leaf.dtype, leaf.size > 0) for leaf in leaves]

    def of(self, tree: PyTree) -> list[Array]:
        """The leaves of a tree."""
        return [leaf for leaf, (_, _, filled) in zip(jax.tree.leaves(tree), self._shapes, strict=True) if filled]

    def tree(self, leaves: list[Array]) -> PyTree:
        """The tree of some leaves."""
        given = iter(leaves)
        whole = [next(given) if filled else jnp.zeros(shape, kind) for shape, kind, filled in self._shapes]
        return jax.tree.unflatten(self._structure, whole)

    def blank(self, *leading: int) -> list[Array]:
        """Zeros in place of the leaves, with more leading axes."""
        return [jnp.zeros((*leading, *shape), kind) for shape, kind, filled in self._shapes if filled]
