"""Trees of arrays as rows of 32-bit words: the form of stored memories, decisions and steps, and of those in compiled programs.

Every leaf takes whole words: numbers of 32 bits by their bits, smaller numbers and truth values one word each. So a row holds
the exact bits of every leaf, and a stored memory is the row itself.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32


class WordLayout:
    """Where the leaves of trees of one structure lie in a row of words.

    Args:
      like: a tree of arrays, or of their shapes and types.

    Attributes `paths` (of the leaves, in their order) and `size` (words in a row).
    Example:
      >>> layout = WordLayout({"count": jnp.int32(0), "mean": jnp.zeros(2)})
      >>> layout.size, layout.of_leaf("['mean']")
      (3, slice(1, 3, None))
    """

    def __init__(self, like: PyTree):
        # JAX annotates structures with a variable, which type checkers cannot read as a type.
        structure: Any
        named, structure = jax.tree_util.tree_flatten_with_path(like)
        self._structure = structure
        self._leaves = [leaf for _, leaf in named]
        sizes = [_words_of(leaf) for leaf in self._leaves]
        self._starts = np.cumsum([0, *sizes]).tolist()
        self.paths = [jax.tree_util.keystr(path) for path, _ in named]
        self._places = {path: place for place, path in enumerate(self.paths)}
        self.size = self._starts[-1]

    def describe(self) -> list[tuple[str, str, tuple[int, ...], int]]:
        """Path, type, shape and words of every leaf: rows of two layouts mean the same if these are equal."""
        leaves = zip(self.paths, self._leaves, strict=True)
        return [(path, str(leaf.dtype), tuple(leaf.shape), _words_of(leaf)) for path, leaf in leaves]

    def of_leaf(self, path: str) -> slice | None:
        """Which words hold the leaf at a path, as in `.action`; None where there is no such leaf."""
        place = self._places.get(path)
        if place is None:
            return None
        return slice(self._starts[place], self._starts[place + 1])

    def numbers(self, words: np.ndarray, path: str) -> np.ndarray:
        """The leaf at a path, which is one of `paths`, from a row of words on the host."""
        leaf = self._leaves[self._places[path]]
        return _from_words(words[self.of_leaf(path)], np.dtype(leaf.dtype)).reshape(leaf.shape)

    def numbers_at(self, path: str) -> int:
        """How many words the leaf at a path takes."""
        return _words_of(self._leaves[self._places[path]])

    def pack_host(self, tree: PyTree) -> np.ndarray:
        """A tree of NumPy arrays as a row of words `[size]`; leaves are cast to the types of the layout."""
        leaves = [tree] if len(self._leaves) == 1 and isinstance(tree, np.ndarray) else self._structure.flatten_up_to(tree)
        rows = [_to_words(np.asarray(leaf, like.dtype)) for leaf, like in zip(leaves, self._leaves, strict=True)]
        return np.concatenate(rows) if rows else np.zeros(0, np.uint32)

    def pack(self, tree: PyTree) -> UInt32[Array, " size"]:
        """A tree as a row of words, under `jit`."""
        rows = [_pack_leaf(leaf) for leaf in self._structure.flatten_up_to(tree)]
        return jnp.concatenate(rows) if rows else jnp.zeros(0, jnp.uint32)

    def unpack(self, words: UInt32[Array, " size"]) -> PyTree:
        """The inverse of `pack`."""
        spans = zip(self._starts[:-1], self._starts[1:], strict=True)
        leaves = [_unpack_leaf(words[i:j], leaf) for (i, j), leaf in zip(spans, self._leaves, strict=True)]
        return jax.tree.unflatten(self._structure, leaves)


def leaves_by(description: list, words: bytes) -> dict[str, np.ndarray]:
    """The leaves of a row by their path, from a description of its layout.

    Args:
      description: as `WordLayout.describe` gives it, or as it comes back from JSON.
      words: the bytes of a row.
    """
    row, found, start = np.frombuffer(words, np.uint32), {}, 0
    for path, kind, shape, size in description:
        part = row[start : start + size]
        found[path] = part if kind.startswith("key") else _from_words(part, np.dtype(kind)).reshape(shape)
        start += size
    return found


def _is_key(leaf: Array | jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _words_of(leaf: Array | jax.ShapeDtypeStruct) -> int:
    if _is_key(leaf):
        return math.prod(jax.eval_shape(jax.random.key_data, leaf).shape)
    return math.prod(leaf.shape)


def _pack_leaf(leaf: Array) -> Array:
    flat = (jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)).reshape(-1)
    if flat.dtype.itemsize == 4:
        return jax.lax.bitcast_convert_type(flat, jnp.uint32)
    if flat.dtype == jnp.bool_:
        return flat.astype(jnp.uint32)
    unsigned = jnp.uint8 if flat.dtype.itemsize == 1 else jnp.uint16
    return jax.lax.bitcast_convert_type(flat, unsigned).astype(jnp.uint32)


def _unpack_leaf(words: Array, like: Array | jax.ShapeDtypeStruct) -> Array:
    if _is_key(like):
        data = jax.eval_shape(jax.random.key_data, like)
        return jax.random.wrap_key_data(words.reshape(data.shape))
    if like.dtype == jnp.bool_:
        flat = words > 0
    elif like.dtype.itemsize == 4:
        flat = jax.lax.bitcast_convert_type(words, like.dtype)
    else:
        unsigned = jnp.uint8 if like.dtype.itemsize == 1 else jnp.uint16
        flat = jax.lax.bitcast_convert_type(words.astype(unsigned), like.dtype)
    return flat.reshape(like.shape)


def _to_words(numbers: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(numbers).reshape(-1)
    if flat.dtype.itemsize == 4:
        return flat.view(np.uint32)
    if flat.dtype == np.bool_:
        return flat.astype(np.uint32)
    return flat.view(np.uint8 if flat.dtype.itemsize == 1 else np.uint16).astype(np.uint32)


def _from_words(words: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind.itemsize == 4:
        return words.view(kind)
    if kind == np.bool_:
        return words > 0
    return words.astype(np.uint8 if kind.itemsize == 1 else np.uint16).view(kind)
