"""Observations of several parts: agents read a Dict or Tuple as one Box of numbers.

The numbers of the parts follow one another, those of a Dict in the order of their names, as JAX has them:

    Dict(speed=Box(-8, 8, (2,)), gear=Discrete(3))        gear: 3 numbers, one-hot; speed: 2 numbers
    number        0          1          2          3           4
    name          gear[0]    gear[1]    gear[2]    speed[0]    speed[1]

Parts may be made of parts. The names stay in messages, `robot.arm.speed[1]`. This file knows spaces; `casting.py` flattens what
tasks give.
"""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, Composite, flat_size, parts_of

_LEAVES = (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary, gymnasium.spaces.Box)


def flat_space(space: Composite) -> gymnasium.spaces.Box:
    """The Box of float32 that agents read in place of a Dict or Tuple.

    Raises:
      SpecError: a part of another kind, names that are no text, or no number at all; names the part.
    """
    bounds = [_bounds(part) for _, part in named_leaves(space)]
    if not sum(len(low) for low, _ in bounds):
        raise SpecError(f"observation_space must hold one number at least; came {space!r}.")
    low, high = (np.concatenate(side) for side in zip(*bounds, strict=True))
    return gymnasium.spaces.Box(low, high, low.shape, np.float32)


def named_leaves(space: Composite, within: str = "") -> Iterator[tuple[str, ActionSpace]]:
    """Every part that is not made of parts, with its whole name, in order.

    Raises:
      SpecError: see `flat_space`.
    """
    for name, part in zip(_names(space), parts_of(space), strict=True):
        whole = f"{within}.{name}" if within else name
        if isinstance(part, COMPOSITE):
            yield from named_leaves(part, whole)
        elif isinstance(part, _LEAVES):
            yield whole, part
        else:
            raise SpecError(
                f"part {whole!r} of the observation_space is {part!r}; parts must be gymnasium.spaces.Discrete, MultiDiscrete, "
                "MultiBinary, Box, or a Dict or Tuple of these. Leave it out, or turn it into numbers in a wrapper."
            )


def values_by_name(giver: str, observation: Any, space: Composite, within: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The value of every part that is not made of parts, with its whole name and its space, in order.

    Args:
      giver: what gave the observation, as in `step`, for messages.
      observation: a dict or tuple as the space describes it; parts that it has beyond the space are not read.
      space: that the observation should lie in.
      within: name of the part that this is.
    Raises:
      ValueError: a part is missing, or it is no dict or tuple; says which.
    """
    names = _names(space)
    for place, (name, part) in enumerate(zip(names, parts_of(space), strict=True)):
        whole = f"{within}.{name}" if within else name
        try:
            value = observation[name if isinstance(space, gymnasium.spaces.Dict) else place]
        except (KeyError, IndexError, TypeError) as error:
            known = list(observation) if isinstance(observation, dict) else type(observation).__name__
            raise ValueError(
                f"{giver} gives an observation without the part {whole!r}: {known!s:.200} came, and the space has {names}."
            ) from error
        if isinstance(part, COMPOSITE):
            yield from values_by_name(giver, value, part, whole)
        else:
            yield whole, value, part


def name_of_number(space: Composite, number: int) -> str:
    """The name of a number of the flat observation, as in `speed[1]`."""
    for name, part in named_leaves(space):
        size = flat_size(part)
        if number < size:
            whole = part.shape if isinstance(part, gymnasium.spaces.Box | gymnasium.spaces.MultiBinary) else (size,)
            place = np.unravel_index(number, whole) if whole else ()
            return f"{name}[{', '.join(map(str, place))}]" if place else name
        number -= size
    raise IndexError(number)


def one_hot_part(value: np.ndarray, space: ActionSpace) -> np.ndarray:
    """A part as its numbers `[flat_size]` of float32; ids one-hot, as `spaces.flattened` has them.

    Raises:
      IndexError: an id that the space does not have.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return _one_hot(int(value) - int(space.start), int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        ids = (np.asarray(value, np.int64) - space.start).ravel()
        return np.concatenate([_one_hot(int(i), int(n)) for i, n in zip(ids, space.nvec.ravel(), strict=True)])
    return np.asarray(value, np.float32).ravel()


def _one_hot(index: int, size: int) -> np.ndarray:
    if not 0 <= index < size:
        raise IndexError(index)
    numbers = np.zeros(size, np.float32)
    numbers[index] = 1.0
    return numbers


def _names(space: Composite) -> list[str]:
    """Names of the parts in the order of `parts_of`; those of a Tuple are their numbers."""
    if not isinstance(space, gymnasium.spaces.Dict):
        return [str(place) for place in range(len(space.spaces))]
    if not all(isinstance(name, str) for name in space.spaces):
        raise SpecError(f"the names of a Dict of observations must be text; came {list(space.spaces)}.")
    return sorted(space.spaces)


def _bounds(space: ActionSpace) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(space, gymnasium.spaces.Box):
        with np.errstate(over="ignore"):  # what 32 bits cannot hold is no bound
            return space.low.astype(np.float32).ravel(), space.high.astype(np.float32).ravel()
    size = flat_size(space)
    return np.zeros(size, np.float32), np.ones(size, np.float32)
