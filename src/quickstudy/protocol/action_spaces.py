"""What is particular to spaces of actions: which of them agents can act in, and how an action reaches user code.

An action is an element of its space, as Gymnasium has it. In JAX it is an array of the space's shape, or a tuple or dict of
arrays. User code outside JAX gets what `space.sample()` would give: a whole number, a NumPy array of the declared type, a tuple
or a dict of these.

    Discrete, MultiDiscrete, MultiBinary     choices among ids: a product of categorical distributions
    Box of fractions                         a normal distribution that is cut to the bounds
    Box of whole numbers                     `whole_numbers` says how: ids, ordered values, or a rounded normal distribution
    Tuple, Dict                              independent parts

A number of a Box whose bounds are equal is constant.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.spaces import ACTION_SPACES, COMPOSITE, ActionSpace, assembled, flat_size, parts_of, values_of

MOST_IDS = 16
"""A whole number with at most this many values is chosen like an id: each value has a probability of its own."""
MOST_VALUES = 256
"""A whole number with at most this many values has a probability for each, which falls with the distance from a mean."""
_FARTHEST = 1e30
"""Bounds beyond it are no bounds: widths and densities would leave the range of 32-bit numbers."""
_MOST_WHOLE = 2**24
"""Whole numbers up to here are exact among 32-bit numbers with a fraction."""
_KINDS = "Discrete, MultiDiscrete, MultiBinary, Box, or a Tuple or Dict of these"

WholeNumbers = Literal["ids", "ordered", "rounded"]


def check_action_space(space: Any) -> None:
    """Raises SpecError unless agents can act in a space; the message says what to do.

    Bounds of a Box must be finite, within ±1e30, and within ±2^24 for whole numbers; ids must fit 32 bits.
    """
    if not isinstance(space, ACTION_SPACES):
        raise SpecError(
            f"action_space must be gymnasium.spaces.{_KINDS}; came {space!r}. "
            "Let the environment take one of these and translate it in step()."
        )
    if isinstance(space, COMPOSITE):
        if isinstance(space, gymnasium.spaces.Dict) and not all(isinstance(name, str) for name in space.spaces):
            raise SpecError(f"the names of a Dict of actions must be text; came {list(space.spaces)}.")
        for part in parts_of(space):
            check_action_space(part)
    elif isinstance(space, gymnasium.spaces.Box):
        _check_bounds(space)
    else:
        _check_ids(space)
    if not flat_size(space):
        raise SpecError(f"action_space must hold one number at least; came {space!r}.")


def _check_bounds(space: gymnasium.spaces.Box) -> None:
    whole, largest = _is_whole(space), _MOST_WHOLE if _is_whole(space) else float(np.float32(_FARTHEST))
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))
    bounded = (np.abs(low) <= largest) & (np.abs(high) <= largest)
    if not bounded.all():
        number = int(np.argmin(bounded))
        limit = f"±{_MOST_WHOLE:,} for whole numbers, which 32 bits count exactly" if whole else f"±{_FARTHEST:g}"
        raise SpecError(
            f"action_space must be bounded on both sides, within {limit}; number {number + 1} of {space!r} lies between "
            f"{low[number]:g} and {high[number]:g}. Declare the range that makes sense, as in Box(-1, 1, {space.shape}), and "
            "scale it in the environment, as with gymnasium.wrappers.TransformAction."
        )


def _check_ids(space: ActionSpace) -> None:
    if isinstance(space, gymnasium.spaces.Discrete):
        first, last = int(space.start), int(space.start) + int(space.n) - 1
    elif isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.size:
        starts, counts = np.asarray(space.start, np.float64), np.asarray(space.nvec, np.float64)
        first, last = int(starts.min()), int((starts + counts - 1).max())
    else:
        return
    if first < -(2**31) or last >= 2**31:
        raise SpecError(f"the ids of actions must fit 32 bits; those of {space!r} lie between {first} and {last}.")


def _is_whole(space: gymnasium.spaces.Box) -> bool:
    return np.dtype(space.dtype).kind in "iub"


def values_in(space: gymnasium.spaces.Box) -> tuple[int, ...]:
    """How many values each number of a Box of whole numbers has."""
    return tuple((space.high.astype(np.int64) - space.low.astype(np.int64) + 1).ravel().tolist())


def whole_numbers(space: ActionSpace) -> WholeNumbers | None:
    """How a policy chooses the numbers of a Box of whole numbers; None for any other space.

    Returns:
      `"ids"`: no number has more than `MOST_IDS` values, and each value has a probability of its own. `"ordered"`: no number
      has more than `MOST_VALUES`; probabilities follow a normal distribution. `"rounded"`: numbers drawn from a normal
      distribution are rounded.
    """
    if not isinstance(space, gymnasium.spaces.Box) or not _is_whole(space):
        return None
    most = max(values_in(space), default=0)
    return "ids" if most <= MOST_IDS else "ordered" if most <= MOST_VALUES else "rounded"


def is_choice(space: ActionSpace) -> bool:
    """Whether an action is made of choices among ids alone, without any number that has an order."""
    if isinstance(space, COMPOSITE):
        return all(is_choice(part) for part in parts_of(space))
    return not isinstance(space, gymnasium.spaces.Box) or whole_numbers(space) == "ids"


def narrow_actions(space: Any) -> ActionSpace:
    """A space of actions with the types that JAX computes with: 64-bit numbers become 32-bit ones.

    Raises:
      SpecError: a space that agents cannot act in.
    """
    check_action_space(space)
    if isinstance(space, COMPOSITE):
        narrowed = assembled([narrow_actions(part) for part in parts_of(space)], space)
        return (gymnasium.spaces.Dict if isinstance(space, gymnasium.spaces.Dict) else gymnasium.spaces.Tuple)(narrowed)
    if isinstance(space, gymnasium.spaces.Discrete):
        return gymnasium.spaces.Discrete(int(space.n), start=int(space.start))
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return gymnasium.spaces.MultiBinary(list(space.shape))
    kind = _narrow_type(space.dtype)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return gymnasium.spaces.MultiDiscrete(space.nvec, dtype=kind, start=space.start)
    return gymnasium.spaces.Box(space.low.astype(kind), space.high.astype(kind), space.shape, kind)


def _narrow_type(kind: Any) -> Any:
    kinds = {"float64": np.float32, "int64": np.int32, "uint64": np.int32, "uint32": np.int32}
    return kinds.get(np.dtype(kind).name, np.dtype(kind).type)


def user_actions(actions: PyTree, space: ActionSpace) -> Sequence[Any]:
    """Many actions as user code outside JAX takes them, one after another.

    Args:
      actions: arrays `[actions, ...]` of NumPy, or a tuple or dict of them.
      space: of the actions.
    Returns:
      Whole numbers for a Discrete space; else arrays of the declared type, which may be written to; or tuples or dicts.
    """
    if isinstance(space, COMPOSITE):
        parts = [user_actions(part, of) for part, of in zip(values_of(actions, space), parts_of(space), strict=True)]
        return [assembled(each, space) for each in zip(*parts, strict=True)]
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.asarray(actions).tolist()
    rows: Any = np.array(actions, space.dtype)
    return list(rows) if rows.ndim > 1 else [np.array(row) for row in rows]


def user_action(action: PyTree, space: ActionSpace) -> Any:
    """One action as user code outside JAX takes it; `action` is an array, or a tuple or dict of them."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(np.asarray(action))
    if isinstance(space, COMPOSITE):
        return user_actions(jax.tree.map(lambda leaf: np.asarray(leaf)[None], action), space)[0]
    return np.array(action, space.dtype)


def to_declared(space: Any) -> Callable[[Any], Any] | None:
    """What turns an action of the narrowed space into one of the space that an environment declares; None where nothing does.

    Args:
      space: as the environment declares it, before `narrow_actions`.
    """
    if isinstance(space, COMPOSITE):
        turns = [to_declared(part) or _as_it_is for part in parts_of(space)]
        return lambda action: assembled([turn(x) for turn, x in zip(turns, values_of(action, space), strict=True)], space)
    kind = getattr(space, "dtype", None)
    if isinstance(space, gymnasium.spaces.Discrete) or kind is None or np.dtype(_narrow_type(kind)) == np.dtype(kind):
        return None
    if isinstance(space, gymnasium.spaces.Box):
        # The narrowed bounds may lie beyond the declared ones by half a unit of the last place.
        return lambda action: np.asarray(np.clip(np.asarray(action, kind), space.low, space.high))
    return lambda action: np.asarray(action, kind)


def _as_it_is(action: Any) -> Any:
    return action
