"""Spaces of observations and actions: as plain data, as blank arrays, and as the numbers that networks read."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from quickstudy.protocol.errors import SpecError

Space = gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete | gymnasium.spaces.Box
COMPOSITE = (gymnasium.spaces.Tuple, gymnasium.spaces.Dict)
"""Spaces that are made of others, which are their parts."""
ACTION_SPACES = (*get_args(Space), gymnasium.spaces.MultiBinary, *COMPOSITE)

if TYPE_CHECKING:
    Composite = gymnasium.spaces.Tuple | gymnasium.spaces.Dict
    ActionSpace = Space | gymnasium.spaces.MultiBinary | Composite
else:
    # At run time annotations may be checked, and the checker takes a Tuple of Gymnasium for a type of sequences.
    Composite = ActionSpace = gymnasium.Space

_LARGEST_RANGE = 1e37


def describe_space(space: ActionSpace) -> dict[str, Any]:
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
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return {"kind": "MultiBinary", "shape": list(space.shape)}
    if isinstance(space, gymnasium.spaces.Tuple):
        return {"kind": "Tuple", "parts": [describe_space(part) for part in parts_of(space)]}
    if isinstance(space, gymnasium.spaces.Dict):
        return {"kind": "Dict", "parts": dict(zip(sorted(space.spaces), map(describe_space, parts_of(space)), strict=True))}
    raise SpecError(f"a space must be Discrete, MultiDiscrete, MultiBinary, Box, or a Tuple or Dict of these; came {space!r}.")


def space_from_description(description: Mapping[str, Any]) -> ActionSpace:
    """The inverse of `describe_space`, of a description that `descriptions.py` has checked."""
    if description["kind"] == "Discrete":
        return gymnasium.spaces.Discrete(description["n"], start=description["start"])
    if description["kind"] == "MultiBinary":
        return gymnasium.spaces.MultiBinary(description["shape"])
    if description["kind"] == "Tuple":
        return gymnasium.spaces.Tuple([space_from_description(part) for part in description["parts"]])
    if description["kind"] == "Dict":
        return gymnasium.spaces.Dict({name: space_from_description(part) for name, part in description["parts"].items()})
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
      space: of observations.
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


def parts_of(space: Composite) -> list[ActionSpace]:
    """The spaces that a Tuple or Dict is made of; those of a Dict in the order of their names, as JAX has them."""
    return values_of(space.spaces, space)


def values_of(element: Any, space: Composite) -> list[Any]:
    """The parts of an element of a Tuple or Dict, or of anything that is built like one, in the order of `parts_of`."""
    return [element[name] for name in sorted(space.spaces)] if isinstance(space, gymnasium.spaces.Dict) else list(element)


def assembled(parts: Sequence[Any], space: Composite) -> tuple | dict:
    """The inverse of `values_of`: a tuple, or a dict by the names of the space."""
    return dict(zip(sorted(space.spaces), parts, strict=True)) if isinstance(space, gymnasium.spaces.Dict) else tuple(parts)


Form = tuple
"""What two spaces must share to replace one another, apart from bounds: kind, sizes, and the forms of their parts."""


def form_of(space: gymnasium.Space) -> Form:
    """The form of any space of Gymnasium."""
    if isinstance(space, gymnasium.spaces.Tuple):
        return ("Tuple", *(form_of(part) for part in space.spaces))
    if isinstance(space, gymnasium.spaces.Dict):
        return ("Dict", *((name, form_of(part)) for name, part in space.spaces.items()))
    if isinstance(space, gymnasium.spaces.Discrete):
        return ("Discrete", int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return ("MultiDiscrete", tuple(space.nvec.ravel().tolist()), tuple(space.shape))
    return (type(space).__name__, space.shape)


def in_words(form: Form) -> str:
    """A form as text, as in `Box(3,)` or `Discrete(5)`."""
    kind, *sizes = form
    return f"{kind}{sizes[0]}" if len(sizes) == 1 and isinstance(sizes[0], tuple) else f"{kind}({', '.join(map(str, sizes))})"


def flat_size(space: ActionSpace) -> int:
    """Numbers in one element of a space once it is flattened (a Discrete one is one-hot, a MultiDiscrete one many of them)."""
    if isinstance(space, COMPOSITE):
        return sum(flat_size(part) for part in parts_of(space))
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return math.prod(space.shape or ())


def encode(element: PyTree, space: ActionSpace) -> Float[Array, "*time size"]:
    """An element of a space as `flat_size` numbers: one-hot ids, a bounded Box scaled to [-1, 1], others as they are.

    Args:
      element: with or without leading time axis; of a Tuple or Dict, a tuple or dict of arrays.
      space: its space.
    """
    if isinstance(space, COMPOSITE):
        return jnp.concatenate(
            [encode(part, of) for part, of in zip(values_of(element, space), parts_of(space), strict=True)], -1
        )
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.nn.one_hot(element - jnp.asarray(int(space.start), element.dtype), int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        cells = one_hot_cells(element, space)
        return cells.reshape(*cells.shape[:-2], -1)
    flat = flattened(element, space)
    if isinstance(space, gymnasium.spaces.MultiBinary) or not space.is_bounded():
        return flat
    shape = (1,) * (flat.ndim - 1) + (flat.shape[-1],)
    low, high = (np.asarray(bound, np.float64).reshape(shape) for bound in (space.low, space.high))
    if (high - low).max(initial=0.0) > _LARGEST_RANGE:  # twice a number near a bound would overflow
        centre, half = (jnp.asarray(x, jnp.float32) for x in (high / 2 + low / 2, high / 2 - low / 2))
        return (flat - centre) / jnp.maximum(half, 1e-8)
    least, most = (jnp.asarray(bound, jnp.float32) for bound in (low, high))
    return (2 * flat - least - most) / jnp.maximum(most - least, 1e-8)


def flattened(element: Array, space: Space | gymnasium.spaces.MultiBinary) -> Float[Array, "*time size"]:
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
