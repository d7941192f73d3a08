"""Advice about observations: bounds that say little, numbers that hardly vary, and ids that are declared as quantities."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from quickstudy.networks.encoders import is_image
from quickstudy.networks.normalisation import least_deviation
from quickstudy.protocol.flat_observations import name_of_number

_WIDE = 100.0
"""Bounds that lie so many times further apart than what was seen."""
_MOST_IDS = 64
_FEW_STEPS = 32


def scales(space: gymnasium.Space, seen: np.ndarray, parts: Any = None) -> Iterator[str]:
    """Warnings, each with its own remedy.

    Args:
      space: of the observations.
      seen: `[observations, ...]`, all that play has seen.
      parts: the Dict or Tuple that was flattened to the space, whose names are told; None if there is none.
    """
    if not isinstance(space, gymnasium.spaces.Box) or len(seen) < _FEW_STEPS:
        return
    flat = seen.reshape(len(seen), -1).astype(np.float64)
    flat = flat[np.isfinite(flat).all(1)]
    if not len(flat):
        return
    if space.dtype.kind in "iu" and len(space.shape) > 1:
        yield from _ids(space, flat)
    if not is_image(space):
        yield from _wide_bounds(space, flat, parts)
        yield from _small_changes(space, flat, parts)


def _ids(space: gymnasium.spaces.Box, flat: np.ndarray) -> Iterator[str]:
    """Few different small whole numbers in a grid are ids of things rather than brightness."""
    values = np.unique(flat)
    if 1 < len(values) <= _MOST_IDS and values[0] >= 0 and values[-1] < _MOST_IDS and space.high.max() > values[-1]:
        yield (
            f"?play saw only {len(values)} different numbers, {values[0]:.0f} to {values[-1]:.0f}, in {space.dtype}"
            f"{list(space.shape)} up to {space.high.max()}. If they are ids of things, agents learn much sooner where they are "
            f"declared as ids: MultiDiscrete(np.full({space.shape}, {int(values[-1]) + 1}), dtype=np.{space.dtype})."
        )


def _wide_bounds(space: gymnasium.spaces.Box, flat: np.ndarray, parts: Any) -> Iterator[str]:
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))
    seen = flat.max(0) - flat.min(0)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.isfinite(high - low) & (seen > 0) & (high - low > _WIDE * seen)
    if wide.any():
        number = int(np.argmax(wide))
        least, most = flat[:, number].min(), flat[:, number].max()
        yield (
            f"?the bounds of {wide.sum()} of {flat.shape[1]} numbers of an observation lie more than {_WIDE:g} times as far "
            f"apart as what play saw: {_named(number, parts)} lay within {least:.4g} and {most:.4g}, declared are "
            f"{low[number]:.4g} and {high[number]:.4g}. Agents measure it by what they see. Narrower bounds say more, or "
            "infinite ones where they are not known."
        )


def _small_changes(space: gymnasium.spaces.Box, flat: np.ndarray, parts: Any) -> Iterator[str]:
    deviation, least = flat.std(0), least_deviation(space)
    small = (deviation > 0) & (deviation < least) & (flat.max(0) - flat.min(0) > 1e-6 * np.abs(flat).max(0))
    if small.any():
        number = int(np.argmax(small))
        yield (
            f"?{small.sum()} of {flat.shape[1]} numbers of an observation hardly vary: {_named(number, parts)} has a standard "
            f"deviation of {deviation[number]:.2g}, and agents take less than {least[number]:.2g} for rounding. Give it in a "
            "smaller unit."
        )


def _named(number: int, parts: Any) -> str:
    return f"number {number}" if parts is None else f"number {number} ({name_of_number(parts, number)})"
