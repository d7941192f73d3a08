"""Elements of spaces as they come from and go to clients: plain values, checked."""

from typing import Any

import gymnasium
import numpy as np

from quickstudy.protocol.spaces import Space
from quickstudy.serving.refusal import Refusal

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that 32 bits hold."""


def element_of(space: Space, value: Any, *, field: str) -> np.ndarray:
    """An element of a space from a number or nested lists of numbers.

    Args:
      space: of the element.
      value: that a client sent.
      field: its name in the request, for messages.
    Raises:
      Refusal: another shape, a number that is not finite, or one outside the space.
    """
    whole = not isinstance(space, gymnasium.spaces.Box) or np.issubdtype(space.dtype, np.integer)
    low, high = _bounds(space)
    try:
        numbers = np.asarray(value)
    except ValueError:
        raise _refusal("is not an array", space, value, field) from None
    if whole and numbers.dtype.kind == "f" and (np.abs(numbers) < 2**53).all() and (numbers == np.floor(numbers)).all():
        numbers = numbers.astype(np.int64)  # in JSON, 3.0 is a whole number
    if _has_truth_value(value) or numbers.dtype.kind not in ("iu" if whole else "iuf") or numbers.shape != (space.shape or ()):
        raise _refusal("has another form", space, value, field)
    with np.errstate(over="ignore"):
        element = numbers.astype(space.dtype)
    if not (np.isfinite(element) & (np.abs(numbers) <= LARGEST)).all():
        raise _refusal("is not finite", space, value, field)
    compared = numbers if whole else element  # whole numbers wrap when they are cast
    if (compared < low).any() or (compared > high).any():
        raise _refusal("lies outside its space", space, value, field)
    return element


def _has_truth_value(value: Any) -> bool:
    """Whether true or false is among the numbers; NumPy would take it for 1 or 0."""
    return any(map(_has_truth_value, value)) if isinstance(value, list) else isinstance(value, bool)


def _refusal(what: str, space: Space, value: Any, field: str) -> Refusal:
    return Refusal("invalid", f"{field} {what}.", field=field, expected=in_words(space), got=_shown(value))


def single(space: Space) -> np.ndarray | None:
    """The only element of a space that has but one, such as the observation of a bandit; else None."""
    low, high = _bounds(space)
    return np.asarray(low, space.dtype) if np.array_equal(low, high) else None


def schema_of(space: Space) -> dict[str, Any]:
    """What a space allows, as a JSON schema. Numbers that 32 bits cannot hold are not allowed."""
    whole = not isinstance(space, gymnasium.spaces.Box) or np.issubdtype(space.dtype, np.integer)
    low, high = (np.broadcast_to(bound, space.shape or ()) for bound in _bounds(space))
    return _schema_between(low, high, whole=whole)


def _schema_between(low: np.ndarray, high: np.ndarray, *, whole: bool) -> dict[str, Any]:
    if not low.ndim:
        if whole:
            return {"type": "integer", "minimum": int(low), "maximum": int(high)}
        return {"type": "number", "minimum": max(float(low), -LARGEST), "maximum": min(float(high), LARGEST)}
    length = {"type": "array", "minItems": len(low), "maxItems": len(low)}
    if (low == low[:1]).all() and (high == high[:1]).all():
        return length | ({"items": _schema_between(low[0], high[0], whole=whole)} if len(low) else {})
    return length | {"prefixItems": [_schema_between(*bounds, whole=whole) for bounds in zip(low, high, strict=True)]}


def in_words(space: Space) -> str:
    """What a space allows, for a message."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return f"a whole number from {int(space.start)} to {int(space.start) + int(space.n) - 1}"
    kind = "whole numbers" if np.issubdtype(space.dtype, np.integer) else "numbers"
    shape = " x ".join(map(str, space.shape or ()))
    low, high = _bounds(space)
    return f"{shape} {kind} from {np.min(low):g} to {np.max(high):g}, as a list"


def _bounds(space: Space) -> tuple[Any, Any]:
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.start), int(space.start) + int(space.n) - 1
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    return space.low, space.high


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]} …"
