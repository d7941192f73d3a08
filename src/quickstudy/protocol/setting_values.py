"""The values that settings may have: types, ranges, and the plain form in which they are stored.

A setting has one annotation, and it is checked the same way wherever its value comes from: a flag, a TOML file, a stored bundle
or Python. Numbers are finite and fit into 32 bits, unless a `Range` says something else:

    learning_rate: float = 1e-3                              finite
    seed: Annotated[int, Range(least=0, most=2**32 - 1)]     within this range

A path is stored as its text, and a member of an enumeration as its name. Both come back by their annotations.
"""

import dataclasses
import enum
import math
import pathlib
import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from quickstudy.protocol.errors import UnknownNameError, UsageError

MOST_WHOLE = 2**31 - 1
MOST_REAL = float(np.finfo(np.float32).max)
_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", pathlib.Path: "a path"}
_MOST_CHARACTERS = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that a setting allows, both ends included.

    Args:
      least: smallest allowed number.
      most: largest allowed number.
      above: numbers must be larger than this one; None for no such bound.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float | None = None

    def __contains__(self, value: float) -> bool:
        """Whether a number is allowed; NaN is not."""
        return self.least <= value <= self.most and (self.above is None or value > self.above)

    def __str__(self) -> str:
        """What is allowed, to be read after `must`."""
        if self.above is not None:
            start = "be above zero" if self.above == 0 else f"be above {shown(self.above)}"
            return start if self.most == math.inf else f"{start} and at most {shown(self.most)}"
        if self.most == math.inf:
            return f"be {shown(self.least)} or more"
        return (
            f"be {shown(self.most)} or less"
            if self.least == -math.inf
            else f"lie between {shown(self.least)} and {shown(self.most)}"
        )


_WHOLE, _REAL = Range(least=-MOST_WHOLE, most=MOST_WHOLE), Range(least=-MOST_REAL, most=MOST_REAL)
POSITIVE, NOT_NEGATIVE, FRACTION = Range(above=0), Range(least=0), Range(least=0, most=1)

Count = Annotated[int, Range(least=1, most=MOST_WHOLE)]
"""How many of something: at least 1."""
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
"""Where random numbers start: every whole number of 32 bits without sign is a seed of its own."""
Seconds = Annotated[float, Range(least=0, most=1e9)]
"""A duration."""


def checked_value(name: str, kind: Any, value: Any) -> Any:
    """The value of a setting in the type that its annotation names.

    Args:
      name: of the setting, for the message.
      kind: its annotation: `int`, `float`, `bool`, `str`, `Path`, an enumeration, `Literal`, tuples and unions of these, `Any`.
        A `Range` within `Annotated` bounds a number.
      value: as it came. A list serves as a tuple, a text as a path, and a name as a member of an enumeration.
    Raises:
      UsageError: a value of another type, out of range, not finite or beyond 32 bits; says what is allowed.
    Example:
      >>> checked_value("seed", Seed, -1)
      Traceback (most recent call last):
      quickstudy.protocol.errors.UsageError: seed must lie between 0 and 4294967295; came -1.
    """
    metadata: tuple[Any, ...] = ()
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metadata += tuple(more)
    allowed = next((one for one in metadata if isinstance(one, Range)), None)
    origin = get_origin(kind) or kind
    if origin in (Union, types.UnionType):
        return _one_of(name, get_args(kind), value)
    if origin in (bool, int, float, str):
        return _scalar(name, origin, value, allowed)
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in get_args(kind)):
            if isinstance(value, str):
                raise UnknownNameError(name, value, map(str, get_args(kind)))
            raise _refusal(name, _words(kind), value)
        return value
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return _member(name, origin, value)
    if isinstance(origin, type) and issubclass(origin, pathlib.PurePath):
        if not isinstance(value, str | pathlib.PurePath) or "\0" in str(value):
            raise _refusal(name, "be a path", value)
        return origin(value)
    if origin in (tuple, list, Sequence):
        return _sequence(name, kind, value)
    return value


def plain_value(name: str, value: Any) -> Any:
    """The form in which a setting is stored, from which `checked_value` makes it again.

    Raises:
      UsageError: a value that has no such form.
    Example:
      >>> plain_value("table", pathlib.Path("prices.csv"))
      'prices.csv'
    """
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return type(value)(plain_value(name, one) for one in value) if type(value) in (list, tuple) else list(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain_value(name, one) for key, one in value.items()}
    raise UsageError(
        f"setting {name!r} cannot be stored: it is of type {type(value).__name__}. Settings are numbers, text, true or false, "
        "None, paths, members of enumerations, and tuples of these. Take the name of a file, and read it in your function."
    )


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    text = reprlib.repr(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"


def _scalar(name: str, kind: type, value: Any, allowed: Range | None) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    kinds: Any = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise _refusal(name, f"be {_IN_WORDS[kind]}", value)
    if kind not in (int, float):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        bounds = "" if allowed is None else f" and {str(allowed).removeprefix('be ')}"
        raise _refusal(name, f"be finite{bounds}", value)
    if allowed is not None and value not in allowed:
        # If a value breaks one bound, the message does not name another one that only says 32 bits.
        if allowed.most == MOST_WHOLE and allowed.least != -math.inf:
            allowed = Range(least=allowed.least) if value < allowed.least else Range(most=allowed.most)
        raise _refusal(name, str(allowed), value)
    if value not in (generic := _WHOLE if kind is int else _REAL) and (allowed is None or allowed.most == math.inf):
        raise _refusal(name, f"be {shown(generic.most)} or less" if value > 0 else f"be {shown(generic.least)} or more", value)
    return kind(value)


def _member(name: str, kind: type[enum.Enum], value: Any) -> enum.Enum:
    if isinstance(value, enum.Enum) and type(value).__qualname__ == kind.__qualname__:
        value = value.name  # the same enumeration, of a user's file that was loaded twice
    for one in kind:
        if value is one or value == one.name:
            return one
    for one in kind:  # a value is second to a name, in case one member's value is another's name
        if type(value) is type(one.value) and value == one.value:
            return one
    raise _refusal(name, _words(kind), value)


def _sequence(name: str, kind: Any, value: Any) -> Any:
    arguments = get_args(kind)
    fixed = get_origin(kind) is tuple and bool(arguments) and Ellipsis not in arguments
    if not isinstance(value, list | tuple) or (fixed and len(value) != len(arguments)):
        raise _refusal(name, f"be a list of {len(arguments)} values" if fixed else "be a list", value)
    kinds = arguments if fixed else [arguments[0] if arguments else Any] * len(value)
    made = (checked_value(f"{name}[{i}]", one, each) for i, (one, each) in enumerate(zip(kinds, value, strict=True)))
    return list(made) if (get_origin(kind) or kind) is list else tuple(made)


def _one_of(name: str, kinds: tuple[Any, ...], value: Any) -> Any:
    left = [kind for kind in kinds if kind is not types.NoneType]
    if value is None and len(left) < len(kinds):
        return None
    if len(left) == 1:
        return checked_value(name, left[0], value)
    for kind in left:
        try:
            return checked_value(name, kind, value)
        except UsageError:
            continue
    words = [_words(kind).removeprefix("be ") for kind in kinds]
    raise _refusal(name, f"be {' or '.join(words)}", value)


def _words(kind: Any) -> str:
    """What an annotation allows, to be read after `must`."""
    origin = get_origin(kind) or kind
    if origin is Literal:
        return f"be one of {', '.join(map(repr, get_args(kind)))}"
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return f"be one of {', '.join(one.name for one in origin)}"
    return f"be {_IN_WORDS.get(origin, 'nothing' if origin is types.NoneType else 'a list')}"


def _refusal(name: str, allowed: str, value: Any) -> UsageError:
    return UsageError(f"{name} must {allowed}; came {shown(value)}.")
