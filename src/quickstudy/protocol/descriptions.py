"""Checks of a described spec before anything is made of it: its types, and its size. A description may come from anybody.

A line of text can claim a space of a thousand million elements. So everything that arrays or networks are sized by is bounded
here, far above what one machine can train.
"""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.printable import printable

DTYPES = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip
"""Types that the elements of a space may have."""
MOST_ELEMENTS, MOST_CHOICES, MOST_AXES = 2**22, 2**24, 8
"""Numbers in one element of a space; ids that a Discrete or a MultiDiscrete space has in all; axes."""
MOST_PARTS = 256
"""Spaces that a Tuple or a Dict is made of."""
MOST_LIFETIME_STEPS = 2**24
"""Slots of one lifetime."""


def check_spec_description(description: Any) -> None:
    """Raises SpecError for what `Spec.describe` could not have given, or for sizes beyond the limits."""
    wanted = ("observation_space", "action_space", "horizon", "episodes")
    _check_names(description, "the spec", wanted, others=("action_mask",))
    horizon, episodes = (_whole(description[name], name, least=1, most=MOST_LIFETIME_STEPS) for name in ("horizon", "episodes"))
    if horizon * episodes > MOST_LIFETIME_STEPS:
        raise SpecError(f"a lifetime may have {MOST_LIFETIME_STEPS:,} steps; came {horizon:,} x {episodes:,}.")
    if not isinstance(description.get("action_mask", False), bool):
        raise SpecError(f"action_mask must be true or false; came {_shown(description['action_mask'])}.")
    for name in ("observation_space", "action_space"):
        check_space_description(description[name], name)


def check_space_description(description: Any, name: str) -> None:
    """Raises SpecError for what `describe_space` could not have given, or for sizes beyond the limits.

    Args:
      description: of a space, plain data that is nested to some depth only.
      name: of the space, for the message.
    """
    if not isinstance(description, Mapping) or not isinstance(description.get("kind"), str):
        raise SpecError(f"{name} must be a table with its kind; came {_shown(description)}.")
    if description["kind"] not in _KINDS:
        raise SpecError(f"{name} must be of kind {', '.join(_KINDS)}; came {_shown(description['kind'])}.")
    _KINDS[description["kind"]](description, name)


def _check_discrete(description: Mapping[str, Any], name: str) -> None:
    _check_names(description, name, ("kind", "n", "start"))
    _whole(description["n"], f"{name}.n", least=1, most=MOST_CHOICES)
    _whole(description["start"], f"{name}.start", least=-MOST_CHOICES, most=MOST_CHOICES)


def _check_multi_discrete(description: Mapping[str, Any], name: str) -> None:
    _check_names(description, name, ("kind", "dtype", "nvec", "start"))
    _check_dtype(description["dtype"], name)
    shape, ids = _nested(description["nvec"], f"{name}.nvec", least=1)
    shape_of_start, _ = _nested(description["start"], f"{name}.start", least=-MOST_CHOICES)
    if sum(ids) > MOST_CHOICES:
        raise SpecError(f"{name} may have {MOST_CHOICES:,} ids in all; came {sum(ids):,}.")
    if shape_of_start != shape:
        raise SpecError(f"{name}: nvec and start must have one shape; came {list(shape)} and {list(shape_of_start)}.")


def _check_box(description: Mapping[str, Any], name: str) -> None:
    _check_names(description, name, ("kind", "shape", "dtype", "low", "high"))
    _check_dtype(description["dtype"], name)
    elements = _elements(description["shape"], f"{name}.shape")
    low, high = (_bounds(description[side], elements, description["dtype"], f"{name}.{side}") for side in ("low", "high"))
    if (low > high).any():
        place = int(np.argmax(low > high))
        raise SpecError(f"{name}: low must be at most high; came {low[place]} and {high[place]} at place {place}.")


def _elements(shape: Any, name: str) -> int:
    """The number of elements of a shape."""
    if not isinstance(shape, list | tuple) or len(shape) > MOST_AXES:
        raise SpecError(f"{name} must be a list of at most {MOST_AXES} lengths; came {_shown(shape)}.")
    elements = math.prod(_whole(length, name, least=1, most=MOST_ELEMENTS) for length in shape)
    if elements > MOST_ELEMENTS:
        raise SpecError(f"{name} may hold {MOST_ELEMENTS:,} elements; came {elements:,}.")
    return elements


def _bounds(values: Any, count: int, dtype: str, name: str) -> np.ndarray:
    """The bounds of all elements, in their order, as numbers."""
    if not isinstance(values, list | tuple) or len(values) != count:
        came = f"{len(values):,} values" if isinstance(values, list | tuple) else _shown(values)
        raise SpecError(f"{name} must be a list of {count:,} numbers as text; came {came}.")
    if not all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values):
        raise SpecError(f"{name} must be a list of numbers as text; came {_shown(values)}.")
    try:
        found = np.asarray(values, np.float64)
    except ValueError as error:
        raise SpecError(f"{name} must be a list of numbers as text: {printable(error)[:100]}.") from error
    kind = np.dtype(dtype)
    limits: Any = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    within = (found >= float(limits.min)) & (found <= float(limits.max))
    if not (within | (np.isinf(found) & (kind.kind == "f"))).all():
        raise SpecError(f"{name} must lie within the range of {dtype}; came {_shown(values)}.")
    return found


def _nested(values: Any, name: str, *, least: int) -> tuple[tuple[int, ...], list[int]]:
    """Shape and numbers of nested lists of whole numbers, which must be of one length at each depth."""
    shape: list[int] = []
    level = [values]
    while level and isinstance(level[0], list | tuple):
        lengths = {len(one) if isinstance(one, list | tuple) else -1 for one in level}
        if len(lengths) > 1 or 0 in lengths or len(shape) == MOST_AXES:
            raise SpecError(f"{name} must be nested lists of one length at each depth, none empty; came {_shown(values)}.")
        shape.append(len(level[0]))
        level = [inner for one in level for inner in one]
    if not shape or len(level) > MOST_ELEMENTS:
        raise SpecError(f"{name} must be a list of 1 to {MOST_ELEMENTS:,} whole numbers; came {_shown(values)}.")
    return tuple(shape), [_whole(one, name, least=least, most=MOST_CHOICES) for one in level]


def _check_names(description: Any, name: str, wanted: tuple[str, ...], *, others: tuple[str, ...] = ()) -> None:
    if not isinstance(description, Mapping):
        raise SpecError(f"{name} must be a table of names and values; came {_shown(description)}.")
    missing = [one for one in wanted if one not in description]
    if missing:
        raise SpecError(f"{name} lacks {', '.join(missing)}.")
    for one in description:
        if one not in wanted + others:
            raise UnknownNameError(f"field of {name},", str(one), wanted + others)


def _check_dtype(dtype: Any, name: str) -> None:
    if dtype not in DTYPES:
        raise SpecError(f"{name}.dtype must be one of {', '.join(DTYPES)}; came {_shown(dtype)}.")


def _whole(value: Any, name: str, *, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SpecError(f"{name} must be a whole number from {least:,} to {most:,}; came {_shown(value)}.")
    return value


def _shown(value: Any) -> str:
    shown = reprlib.repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]} …"


def _check_multi_binary(description: Mapping[str, Any], name: str) -> None:
    _check_names(description, name, ("kind", "shape"))
    _elements(description["shape"], f"{name}.shape")


def _check_parts(description: Mapping[str, Any], name: str) -> None:
    _check_names(description, name, ("kind", "parts"))
    parts, kind = description["parts"], Mapping if description["kind"] == "Dict" else list | tuple
    if not isinstance(parts, kind) or not 1 <= len(parts) <= MOST_PARTS:
        raise SpecError(f"{name} must have 1 to {MOST_PARTS} parts; came {_shown(parts)}.")
    for key, part in parts.items() if isinstance(parts, Mapping) else enumerate(parts):
        check_space_description(part, f"{name}.{key:.80}" if isinstance(key, str) else f"{name}.{key}")


_KINDS = {
    "Discrete": _check_discrete,
    "MultiDiscrete": _check_multi_discrete,
    "MultiBinary": _check_multi_binary,
    "Box": _check_box,
    "Tuple": _check_parts,
    "Dict": _check_parts,
}
