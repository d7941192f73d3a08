"""Operations on the time axis: scans, chunks, shifts and selection.

Time is always the leading axis and keeps its order. Code elsewhere uses these functions to cut time into chunks and to join
it again.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

Carry = TypeVar("Carry")


def scan(function: Callable, carry: Carry, xs: PyTree, *, unroll: int = 1) -> tuple[Carry, PyTree]:
    """`jax.lax.scan`, but a sequence of length one is a plain call, so that no loop is compiled for it."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return jax.lax.scan(function, carry, xs, unroll=unroll)
    carry, y = function(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda x: x[None], y)


def chunks(tree: PyTree, *, length: int) -> PyTree:
    """Cuts a leading axis `[T]` into `[T / length, length]`, keeping time in order."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] // length, length, *x.shape[1:]), tree)


def flatten_chunks(tree: PyTree) -> PyTree:
    """Joins the two leading axes `[chunks, length]` into `[T]`, keeping time in order."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), tree)


def shift_right(first: PyTree, sequence: PyTree) -> PyTree:
    """`[first, sequence[0], ..., sequence[T-2]]`: the value before each step, from the values after each step."""
    return jax.tree.map(lambda f, s: jnp.concatenate([f[None], s[:-1]]), first, sequence)


def fill_forward(sequence: PyTree, first: PyTree, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
    """The newest value of a sequence after each step, where steps that did not happen carry none.

    Args:
      sequence: leaves `[T, *lifetimes]`.
      first: the value before the first of these steps, leaves `[*lifetimes]`.
      valid: steps that happened.
    """
    slots = jnp.arange(len(valid)).reshape((-1,) + (1,) * (valid.ndim - 1))
    newest = jax.lax.cummax(jnp.where(valid, slots, -1), axis=0)

    def chosen(came: Array, before: Array) -> Array:
        place = newest.reshape(newest.shape + (1,) * (came.ndim - newest.ndim))
        return jnp.where(place >= 0, jnp.take_along_axis(came, jnp.maximum(place, 0), axis=0), before)

    return jax.tree.map(chosen, sequence, first)


def where(condition: Bool[Array, ""], if_true: PyTree, if_false: PyTree) -> PyTree:
    """Leaf by leaf, one of two trees of the same structure; keys are chosen too."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
