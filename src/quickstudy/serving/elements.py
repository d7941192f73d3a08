"""Elements of spaces as they come from and go to clients: plain values, checked."""

from typing import Any

import gymnasium
import numpy as np

from quickstudy.protocol.spaces import ActionSpace, Space
from quickstudy.serving.refusal import Refusal


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
    expected = in_words(space)
    try:
        numbers = np.asarray(value)
    except ValueError:
        raise Refusal("invalid", f"{field} is not an array.", field=field, expected=expected, got=_shown(value)) from None
    if numbers.dtype.kind not in ("iu" if whole else "iuf") or numbers.shape != (space.shape or ()):
        raise Refusal("invalid", f"{field} has another form.", field=field, expected=expected, got=_shown(value))
    with np.errstate(over="ignore"):
        element = numbers.astype(space.dtype)
    if not np.isfinite(element).all():
        raise Refusal("invalid", f"{field} is not finite.", field=field, expected=expected, got=_shown(value))
    low, high = _bounds(space)
    if (numbers < low).any() or (numbers > high).any() if whole else (element < low).any() or (element > high).any():
        raise Refusal("invalid", f"{field} lies outside its space.", field=field, expected=expected, got=_shown(value))
    return element


def plain_action(space: ActionSpace, action: np.ndarray) -> int | list[float]:
    """An action as a number or a list of numbers."""
    return int(action) if isinstance(space, gymnasium.spaces.Discrete) else [float(x) for x in action.ravel()]


def single(space: Space) -> np.ndarray | None:
    """The only element of a space that has but one, such as the observation of a bandit; else None."""
    low, high = _bounds(space)
    return np.asarray(low, space.dtype) if np.array_equal(low, high) else None


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
