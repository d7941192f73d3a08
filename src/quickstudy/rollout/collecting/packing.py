"""A tree of small arrays as one row of 32-bit words, so that it crosses from the device to Python in one transfer."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32


class Packing:
    """The layout of trees of one structure in words.

    Args:
      like: a tree of arrays, or of their shapes and types: numbers of at most 32 bits, or truth values.
    """

    def __init__(self, like: PyTree):
        leaves, self._structure = jax.tree.flatten(like)
        self._shapes = [tuple(leaf.shape) for leaf in leaves]
        self._types = [np.dtype(leaf.dtype) for leaf in leaves]
        sizes = [math.prod(shape) for shape in self._shapes]
        self._ends = np.cumsum([0, *sizes]).tolist()

    @property
    def words(self) -> int:
        """Words in a row."""
        return self._ends[-1]

    def pack(self, tree: PyTree) -> UInt32[Array, " words"]:
        """One tree as a row; for use in a compiled program."""
        rows = [_as_words(jnp.asarray(leaf)).reshape(-1) for leaf in jax.tree.leaves(tree)]
        return jnp.concatenate(rows) if rows else jnp.zeros(0, jnp.uint32)

    def unpack(self, rows: UInt32[np.ndarray, "*rows words"]) -> PyTree:
        """Many rows as a tree whose leaves have the leading axes `[*rows]`."""
        return jax.tree.unflatten(self._structure, [self.leaf(number, rows) for number in range(len(self._shapes))])

    def numbers(self) -> PyTree:
        """A tree that holds, in place of each leaf, the number of that leaf."""
        return jax.tree.unflatten(self._structure, range(len(self._shapes)))

    def leaf(self, number: int, rows: UInt32[np.ndarray, "*rows words"]) -> np.ndarray:
        """One leaf of many rows `[*rows, ...]`."""
        kind, part = self._types[number], np.ascontiguousarray(rows[..., self._ends[number] : self._ends[number + 1]])
        return part.view(_kept_as(kind)).astype(kind, copy=False).reshape((*rows.shape[:-1], *self._shapes[number]))


def _as_words(leaf: Array) -> UInt32[Array, "*shape"]:
    return jax.lax.bitcast_convert_type(leaf.astype(_kept_as(np.dtype(leaf.dtype))), jnp.uint32)


def _kept_as(kind: np.dtype) -> np.dtype:
    """The 32-bit type that holds every number of a type."""
    if kind.itemsize == 4:
        return kind
    return np.dtype(np.float32 if jnp.issubdtype(kind, jnp.floating) else np.int32)
