"""Trees of arrays, compared and put into words."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import PyTree


def plain(leaf: ArrayLike) -> np.ndarray:
    """A leaf as a NumPy array; a random key becomes its data."""
    is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def same(one: PyTree, other: PyTree) -> bool:
    """Equal to the last bit; not-a-number equals itself."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(plain(a).tobytes() == plain(b).tobytes() for a, b in pairs)


def close(one: PyTree, other: PyTree) -> bool:
    """Equal up to the rounding that a compiler may change: 1e-4 of the size and 1e-5 more."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.allclose(plain(a), plain(b), rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in pairs)


def rows(stack: PyTree) -> list[bytes]:
    """Every element of a stack (leaves with one leading axis) as bytes."""
    leaves = [plain(leaf) for leaf in jax.tree.leaves(stack)]
    flat = [np.ascontiguousarray(leaf.reshape(leaf.shape[0], -1)).view(np.uint8) for leaf in leaves if leaf.size]
    return [row.tobytes() for row in np.concatenate(flat, axis=1)]


def distinct(stack: PyTree) -> int:
    """How many different elements a stack holds."""
    return len(set(rows(stack)))


def structure(tree: PyTree) -> str:
    """Every leaf of a tree by name, type and shape, as text."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = (f"{jax.tree_util.keystr(path, simple=True, separator='.')}: {name_of(leaf)}" for path, leaf in leaves)
    return ", ".join(text.removeprefix(": ") for text in named)


def name_of(leaf: ArrayLike | jax.ShapeDtypeStruct) -> str:
    """Type and shape of an array, as in `float32[3]`."""
    return f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
