"""The axis of seeds that are trained side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def over_seeds(function: Callable[..., Any], in_axes: Sequence[int | None]) -> Callable[..., Any]:
    """`jax.vmap` over the leading axis of seeds. One seed is a plain call, which takes much less time to trace and to lower.

    Args:
      function: of one seed.
      in_axes: for each argument 0, where its leaves have a leading axis `[seeds]`, or None.
    Returns:
      A function of arguments with that axis; all leaves of its value have it.
    """

    def mapped(*arguments: Any) -> Any:
        with_axis = [argument for argument, axis in zip(arguments, in_axes, strict=True) if axis == 0]
        if jax.tree.leaves(with_axis)[0].shape[0] > 1:
            return jax.vmap(function, tuple(in_axes))(*arguments)
        first = [
            argument if axis is None else jax.tree.map(lambda leaf: leaf[0], argument)
            for argument, axis in zip(arguments, in_axes, strict=True)
        ]
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), function(*first))

    return mapped
