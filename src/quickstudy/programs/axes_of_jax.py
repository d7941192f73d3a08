"""Shapes and axes of JAX, and what is left of them where axes of length one are dropped."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from quickstudy.programs.program import Shape


def canonical(aval: Any) -> Shape:
    """A shape without axes of length one; keys are words `[2]`."""
    words = (2,) if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.prng_key) else ()
    return tuple(length for length in (*aval.shape, *words) if length != 1)


def key_aware_type(aval: Any) -> np.dtype:
    """The type of the numbers; keys are words of 32 bits."""
    return np.dtype(np.uint32) if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.prng_key) else np.dtype(aval.dtype)


def places(shape: Sequence[int]) -> dict[int, int]:
    """From each axis that is longer than one to its number among those."""
    return {axis: place for place, axis in enumerate(axis for axis, length in enumerate(shape) if length != 1)}


def axes_of(equation: Any, axes: Sequence[int], operand: int = 0) -> tuple[int, ...]:
    """Axes of an operand, numbered among those that are longer than one; the others are left out."""
    left = places(equation.invars[operand].aval.shape)
    return tuple(left[axis] for axis in axes if axis in left)
