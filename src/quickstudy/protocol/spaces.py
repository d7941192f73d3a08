"""Spaces of observations and actions: as plain data, as blank arrays, and as the numbers that networks read."""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from quickstudy.protocol.errors import SpecError

Space = gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete | gymnasium.spaces.Box
ActionSpace = gymnasium.spaces.Discrete | gymnasium.spaces.Box

_LARGEST_RANGE = 1e37


def describe_space(space: Space) -> dict[str, Any]:
    """A space as plain data (JSON has no infinity, so bounds are text)."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        numbers = {"nvec": space.nvec.tolist(), "start": np.asarray(space.start).tolist()}
        return {"kind": "MultiDiscrete", "dtype": str(space.dtype)} | numbers
    if isinstance(space, gymnasium.spaces.Box):
        low, high = ([str(x) for x in bound.ravel().tolist()] for bound in (space.low, space.high))
        return {
            "kind": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": low,
            "high": high,
        }
    raise SpecError(f"a space must be Discrete, MultiDiscrete or Box; came {space!r}.")


def space_from_description(description: Mapping[str, Any]) -> Space:
    """The inverse of `describe_space`."""
    if description["kind"] == "Discrete":
        return gymnasium.spaces.Discrete(description["n"], start=description["start"])
    dtype = np.dtype(description["dtype"])
    if description["kind"] == "MultiDiscrete":
        nvec, start = (np.asarray(description[name]) for name in ("nvec", "start"))
        return gymnasium.spaces.MultiDiscrete(nvec, dtype=dtype.type, start=start)
    shape = tuple(description["shape"])
    low, high = (np.asarray([float(x) for x in description[side]]).reshape(shape).astype(dtype) for side in ("low", "high"))
    return gymnasium.spaces.Box(low, high, shape=shape, dtype=dtype.type)


def check_fits_32_bits(space: Space, name: str) -> None:
    """Raises SpecError for whole numbers that 32 bits do not hold: computations would wrap them around.

    Args:
      space: of observations or actions.
      name: of the space, for the message.
    """
    if isinstance(space, gymnasium.spaces.Box):
        if space.dtype.kind not in "iu" or space.dtype.itemsize < 8:
            return
        least, most, remedy = (
            int(space.low.min(initial=0)),
            int(space.high.max(initial=0)),
            "a Box of float32, or narrower bounds",
        )
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        start = space.start.astype(object)
        least, most, remedy = int(start.min()), int((start + space.nvec.astype(object)).max()) - 1, "fewer ids"
    else:
        least, most, remedy = int(space.start), int(space.start) + int(space.n) - 1, "fewer ids"
    known = np.iinfo(np.int32)
    if least < known.min or most > known.max:
        raise SpecError(
            f"{name} holds whole numbers from {least} to {most}; allowed are {known.min} to {known.max}, which 32 bits hold. "
            f"Declare {remedy}."
        )


def flat_size(space: Space) -> int:
    """Numbers in one element of a space once it is flattened (a Discrete one is one-hot, a MultiDiscrete one many of them)."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return math.prod(space.shape or ())


def encode(element: Array, space: Space) -> Float[Array, "*time size"]:
    """An element of a space as `flat_size` numbers: one-hot ids, a bounded Box scaled to [-1, 1], others as they are.

    Args:
      element: with or without leading time axis.
      space: its space.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.nn.one_hot(element - jnp.asarray(int(space.start), element.dtype), int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        cells = one_hot_cells(element, space)
        return cells.reshape(*cells.shape[:-2], -1)
    flat = flattened(element, space)
    if not space.is_bounded():
        return flat
    shape = (1,) * (flat.ndim - 1) + (flat.shape[-1],)
    low, high = (np.asarray(bound, np.float64).reshape(shape) for bound in (space.low, space.high))
    if (high - low).max(initial=0.0) > _LARGEST_RANGE:  # twice a number near a bound would overflow
        centre, half = (jnp.asarray(x, jnp.float32) for x in (high / 2 + low / 2, high / 2 - low / 2))
        return (flat - centre) / jnp.maximum(half, 1e-8)
    least, most = (jnp.asarray(bound, jnp.float32) for bound in (low, high))
    return (2 * flat - least - most) / jnp.maximum(most - least, 1e-8)


def flattened(element: Array, space: Space) -> Float[Array, "*time size"]:
    """The numbers of an element as they are, or those of `encode` for ids.

    Args:
      element: with or without leading time axis.
      space: its space.
    """
    if isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        return encode(element, space)
    leading = element.shape[: element.ndim - len(space.shape or ())]
    return element.astype(jnp.float32).reshape(*leading, flat_size(space))


def symbol_cells(space: gymnasium.spaces.MultiDiscrete) -> tuple[int, tuple[int, ...]]:
    """How many cells there are, and how many ids each of a cell's symbols has.

    Where `nvec` repeats itself along all but its last axis, the last axis is a cell; otherwise the whole element is one.
    """
    rows = space.nvec.reshape(-1, space.nvec.shape[-1])
    alike = space.nvec.ndim > 1 and bool((rows == rows[0]).all())
    return (len(rows), tuple(rows[0].tolist())) if alike else (1, tuple(space.nvec.ravel().tolist()))


def cell_symbols(element: Array, space: gymnasium.spaces.MultiDiscrete) -> Integer[Array, "*time cells symbols"]:
    """The symbols of every cell, counted from zero."""
    cells, kinds = symbol_cells(space)
    start = jnp.asarray(space.start, element.dtype).reshape((1,) * (element.ndim - space.nvec.ndim) + space.nvec.shape)
    return (element - start).reshape(*element.shape[: element.ndim - space.nvec.ndim], cells, len(kinds))


def one_hot_cells(element: Array, space: gymnasium.spaces.MultiDiscrete) -> Float[Array, "*time cells ids"]:
    """The symbols of every cell, one-hot, one after another along the last axis."""
    _, kinds = symbol_cells(space)
    symbols = cell_symbols(element, space)
    return jnp.concatenate([jax.nn.one_hot(symbols[..., place], ids) for place, ids in enumerate(kinds)], axis=-1)
