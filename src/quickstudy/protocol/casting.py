"""The border between a user's code and everything that runs it: what came is cast here once, or refused in one line.

A task may say `terminated=False`, count rewards in whole numbers, or observe 64-bit numbers. It means what it says, so this is
cast to the types of the spec. What cannot be cast without losing something is refused: a fraction where ids are observed, a
wide whole number where the space says bytes, text.

Here are single values that come from outside JAX: from environments in Python, services, sensors and people.
`traced_casting.py` has the resets and steps of tasks in JAX.
"""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.flat_observations import one_hot_part, values_by_name
from quickstudy.protocol.spaces import COMPOSITE, Composite, Space

_LONGEST_SHOWN = 60
"""Characters of what came that a message shows."""


def host_observation(giver: str, observation: Any, space: Space | Composite) -> np.ndarray:
    """An observation that a program outside JAX gave, with the shape and type of its space; parts are flattened.

    A number that 32 bits cannot hold becomes infinite, and is masked later.

    Args:
      giver: what gave it, as in `step`, for the message.
      observation: what came.
      space: that it should lie in.
    Raises:
      ValueError: it cannot be cast without loss: another shape, no numbers, or a fraction where the space holds whole numbers.
    """
    if isinstance(space, COMPOSITE):
        return np.concatenate([_host_part(giver, *each) for each in values_by_name(giver, observation, space)])
    try:
        came = np.asarray(observation)
    except ValueError as error:
        raise ValueError(f"{giver} gives an observation that is no array: {error}.") from error
    shape, wanted = tuple(space.shape or ()), element_type(space)
    if came.dtype.kind in "biuf" and came.shape == shape:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = came.astype(wanted)
        if wanted.kind == "f" or np.array_equal(cast, came):
            return cast
    raise ValueError(
        f"{giver} gives an observation {described(observation)}; the observation space asks for {asked_by(space)}."
    )


def _host_part(giver: str, name: str, value: Any, space: Any) -> np.ndarray:
    cast = host_observation(of_part(giver, name), value, space)
    try:
        return one_hot_part(cast, space)
    except IndexError as error:
        raise ValueError(f"{of_part(giver, name)} gives {value!s:.80}, which is no element of {space}.") from error


def host_number(name: str, value: Any) -> float:
    """A number that an environment outside JAX gave: the reward, or a measure.

    Raises:
      ValueError: it is not one number.
    """
    try:
        came = np.asarray(float(value) if type(value) is int else value)
    except (ValueError, OverflowError):  # rows of different lengths, or a whole number of more than 300 digits
        came = np.asarray(None)
    if came.dtype.kind not in "fiub" or came.size != 1:
        raise ValueError(f"step gives {name} {described(value)}; it must be one number.")
    return float(came.reshape(()))


def host_flag(name: str, value: Any) -> bool:
    """A truth value that an environment outside JAX gave.

    Raises:
      ValueError: it is neither true nor false.
    """
    came = np.asarray(value) if np.isscalar(value) or hasattr(value, "dtype") else np.asarray(None)
    if came.dtype.kind not in "fiub" or came.size != 1 or came.reshape(()) not in (0, 1):
        raise ValueError(f"step gives {name} {described(value)}; it must be one truth value, True or False.")
    return bool(came.reshape(()))


class Elements:
    """The elements of a space, as they come from a service, a sensor or a person: cast, or refused by name.

    Numbers of a Box may lie outside its bounds by 1e-4 of their distance, which rounding leaves. Numbers that are not finite
    pass, since a guard masks them.

    Args:
      space: of observations.
      what: the elements are, in words, for messages.
    """

    def __init__(self, space: Space, *, what: str = "an observation"):
        self._what, self.space, self.kind, self._shape = what, space, element_type(space), tuple(space.shape or ())
        self._low: Any
        self._high: Any
        if isinstance(space, gymnasium.spaces.Discrete):
            self._low, self._high = np.int64(space.start), np.int64(space.start + space.n - 1)
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            self._low, self._high = space.start.astype(np.int64), space.start.astype(np.int64) + space.nvec - 1
        else:
            low, high = (np.asarray(bound, np.float64) for bound in (space.low, space.high))
            with np.errstate(invalid="ignore"):
                slack = np.where(np.isfinite(high - low), 1e-4 * (high - low), 0.0) * (self.kind.kind == "f")
            self._low, self._high = low - slack, high + slack

    def cast(self, observation: Any) -> np.ndarray:
        """An element with the shape and type of the space.

        Raises:
          SpecError: something that is no element; names the space and what came.
        """
        if type(observation) is np.ndarray and observation.dtype == self.kind and observation.shape == self._shape:
            element = observation
        else:
            try:
                element = host_observation("the program around the agent", observation, self.space)
            except ValueError as error:
                raise self._refusal(observation) from error
        outside = (element < self._low) | (element > self._high)
        if outside.any() and (outside & np.isfinite(element)).any():
            raise self._refusal(observation)
        return element

    def cast_each(self, observations: Any, count: int) -> np.ndarray:
        """Elements of many sessions, `[count, ...]`, in an array of their own.

        Args:
          observations: `[count, ...]`; where an element is one number, also one for all sessions.
          count: how many sessions.
        Raises:
          SpecError: another shape, or something that is no element; names the first session, the space and what came.
        """
        came = _numbers(observations)
        if came.ndim == 0 and not self._shape:
            came = np.broadcast_to(came, (count,))
        if came.shape != (count, *self._shape):
            raise SpecError(f"observation must have the shape {(count, *self._shape)}; came {came.shape}. Nothing was changed.")
        with np.errstate(over="ignore", invalid="ignore"):
            cast = came.astype(self.kind) if came.dtype.kind in "biuf" else np.zeros(came.shape, self.kind)
            wrong = ((cast < self._low) | (cast > self._high)) & np.isfinite(cast)
            wrong |= (cast != came) if self.kind.kind != "f" else came.dtype.kind not in "biuf"
        first = np.flatnonzero(wrong.reshape(count, -1).any(-1))
        if first.size:
            raise self._refusal(came[first[0]], whose=f"the observation of session {first[0]}")
        return cast

    def _refusal(self, observation: Any, *, whose: str = "") -> SpecError:
        shown = " ".join(repr(observation).split())
        came = shown if len(shown) < _LONGEST_SHOWN else described(observation)
        return SpecError(f"{whose or self._what} must be an element of {self.space}; came {came}. Nothing was changed.")


def _numbers(given: Any) -> np.ndarray:
    """What came as an array; rows of different lengths are objects."""
    try:
        return np.asarray(given)
    except ValueError:
        return np.asarray(given, object)


def of_part(giver: str, name: str) -> str:
    """What gave a part of an observation, for messages."""
    return f"{giver} (part {name!r})"


def described(value: Any) -> str:
    """Type and shape of what came, or the name of its type where it is no array of numbers."""
    if isinstance(value, tuple) and not all(isinstance(x, bool | int | float) for x in value):
        return f"a tuple of {len(value)}"
    if type(value) in (bool, int, float, str, type(None)):
        return f"{value!r}" if len(repr(value)) < _LONGEST_SHOWN else type(value).__name__
    kind, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if kind is None or shape is None:
        try:
            array = np.asarray(value)
        except Exception:  # rows of different lengths, or anything else
            return type(value).__name__
        kind, shape = array.dtype, array.shape
    return f"{kind}{list(shape)}" if kind_of(kind) in "biuf" else type(value).__name__


def kind_of(dtype: Any) -> str:
    """The letter of a kind of numbers, as NumPy has it; short floats of JAX are floats."""
    return "f" if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype).kind


def element_type(space: Space) -> np.dtype:
    """The type that the elements of a space have in JAX."""
    kind = jnp.int32 if isinstance(space, gymnasium.spaces.Discrete) else space.dtype
    return np.dtype(jax.dtypes.canonicalize_dtype(kind))


def asked_by(space: Space) -> str:
    """The type and shape that a space asks for, for messages."""
    return "a whole number" if isinstance(space, gymnasium.spaces.Discrete) else f"{space.dtype}{list(space.shape or ())}"
