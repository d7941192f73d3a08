"""Records to plain data and back, in one place: what goes to JSON or comes from TOML, checked field by field.

Plain data are dictionaries, lists, text, numbers, true, false and None. A record is a dataclass whose fields have these
types: `int`, `float`, `bool`, `str`, an enumeration, `Literal`, a record, `X | None`, `tuple[X, ...]`, `tuple[X, Y]`,
`Sequence[X]`, `Mapping[str, X]`, or `Any` for plain data that is kept as it is.

    record  --to_plain-->  plain data  --json.dumps-->  file
    record  <--from_plain--  plain data  <--read_object--  file
"""

import dataclasses
import enum
import os
import pathlib
import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.reading import read_json

Record = TypeVar("Record")

_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_MOST_CHARACTERS = 80
LARGEST_SETTING, MOST_OF_A_SETTING = 2**20, 64
"""Limits of what a file may ask for, above everything that a run on one machine needs."""


def to_plain(value: Any, *, digits: int | None = None) -> Any:
    """A record, or a structure of records, as plain data.

    Args:
      value: records, mappings, sequences, scalars of Python or NumPy, enumerations, paths.
      digits: significant digits that every number with a fraction keeps; None keeps all of them.
    Returns:
      Plain data. Tuples become lists, an enumeration becomes its value, a path its text.
    Raises:
      UsageError: something that plain data cannot hold.
    Example:
      >>> to_plain({"mean": np.float32(0.123456789)}, digits=3)
      {'mean': 0.123}
    """
    if isinstance(value, enum.Enum):
        return to_plain(value.value, digits=digits)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if digits is None else float(f"{value:.{digits}g}")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [field for field in dataclasses.fields(value) if not _is_left_out(field, getattr(value, field.name))]
        return {field.name: to_plain(getattr(value, field.name), digits=digits) for field in kept}
    if isinstance(value, Mapping):
        return {name: to_plain(inner, digits=digits) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner, digits=digits) for inner in value]
    raise UsageError(f"plain data holds numbers, text, lists and tables; came {type(value).__name__}: {_shown(value)}.")


def left_out(default: Any) -> Any:
    """A field of a record that is stored only where it differs from its default, so that earlier files stay as they are."""
    return dataclasses.field(default=default, metadata={"left_out": True})


def _is_left_out(field: dataclasses.Field, value: Any) -> bool:
    return bool(field.metadata.get("left_out")) and value == field.default


def from_plain(kind: type[Record], data: Any, *, where: str = "") -> Record:
    """A record from plain data; the inverse of `to_plain`.

    Args:
      kind: the record's class.
      data: a mapping with a value for each field; a field that has a default may be left out.
      where: what the data is, for messages, as in `rows.toml, row grid`; fields are named behind it.
    Returns:
      The record. A whole number is kept as it is where a number is allowed, so that writing it again changes nothing.
    Raises:
      UsageError: a field is missing or has another type; names the field, what came and what is allowed.
      UnknownNameError: a key that is no field; suggests the nearest.
    Example:
      >>> from_plain(Size, {"width": 2, "height": "tall"}, where="size")
      Traceback (most recent call last):
      quickstudy.protocol.errors.UsageError: size: height must be a whole number; came 'tall'.
    """
    return _record(kind, data, where, "")


def to_document(record: Any, *, version: int, digits: int) -> dict[str, Any]:
    """A record as plain data with the version of its format, as `format`.

    Args:
      record: to be stored.
      version: of the format that it is stored in.
      digits: significant digits that numbers keep.
    """
    return {"format": version, **to_plain(record, digits=digits)}


def from_document(kind: type[Record], data: Mapping[str, Any], *, version: int, what: str, remedy: str) -> Record:
    """A record from what `to_document` gave.

    Args:
      kind: the record's class.
      data: with `format`.
      version: that can be read.
      what: what the record is, in words, as in `evaluation`.
      remedy: what to do if it cannot be read, a sentence.
    Raises:
      UsageError: data of another format, a field that is missing, not known or of another type.
    """
    if data.get("format") != version:
        raise UsageError(f"the {what} has format {data.get('format')!r}; this version reads format {version}. {remedy}")
    try:
        return from_plain(kind, {name: value for name, value in data.items() if name != "format"}, where=f"the {what}")
    except UsageError as error:
        raise UsageError(f"{error} {remedy}") from error


def read_object(path: str | os.PathLike, *, what: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
      path: of the file.
      what: what it should hold, in words, as in `evaluation`.
    Raises:
      UsageError: no such file, one that does not parse, or one that holds something else than an object.
    """
    return read_json(path, what=what)


def checked_setting(hint: Any, value: Any, *, where: str, name: str, bounded: bool = True) -> Any:
    """A setting from anybody's file, of the type that its annotation names.

    Args:
      hint: its annotation. One that no plain data can have allows everything, and so does an enumeration: whoever makes the
        configuration takes its members by their names.
      value: plain data.
      where: what the setting is of, for the message.
      name: of the setting.
      bounded: refuse what is beyond `MOST_OF_A_SETTING` and `LARGEST_SETTING`.
    Returns:
      The value; a list becomes a tuple.
    Raises:
      UsageError: another type, a list of more than `MOST_OF_A_SETTING` values, or a whole number that is larger than
        `LARGEST_SETTING` (the number of a seed may be larger).
    """
    try:
        checked = value if _names_members(hint) else _value(hint, value, where, name)
    except TypeError:
        checked = value
    if not bounded:
        return checked
    if isinstance(checked, list | tuple | dict) and len(checked) > MOST_OF_A_SETTING:
        raise UsageError(f"{_place(where, name)} has {len(checked):,} values; at most {MOST_OF_A_SETTING} are allowed.")
    for one in checked if isinstance(checked, list | tuple) else (checked,):
        if isinstance(one, int) and abs(one) > LARGEST_SETTING and not name.endswith("seed"):
            raise UsageError(f"{_place(where, name)} must be at most {LARGEST_SETTING:,}; came {_shown(one)}.")
    return checked


def _names_members(hint: Any) -> bool:
    """Whether an annotation is an enumeration, or holds one."""
    return (isinstance(hint, type) and issubclass(hint, enum.Enum)) or any(map(_names_members, get_args(hint)))


def _record(kind: type, data: Any, where: str, field: str) -> Any:
    if not isinstance(data, Mapping):
        raise _refusal(where, field, "a table of names and values", data)
    fields, hints = {one.name: one for one in dataclasses.fields(kind)}, get_type_hints(kind)
    for name in data:
        if name not in fields:
            raise UnknownNameError(f"field in {_place(where, field)},", str(name), fields)
    without_default = [name for name, one in fields.items() if one.default is one.default_factory is dataclasses.MISSING]
    missing = [name for name in without_default if name not in data]
    if missing:
        raise UsageError(f"{_place(where, field)} lacks {', '.join(missing)}.")
    return kind(**{name: _value(hints[name], value, where, _within(field, name)) for name, value in data.items()})


def _value(hint: Any, value: Any, where: str, field: str) -> Any:
    """A value of the type that an annotation names."""
    if hint is Any:
        return value
    if get_origin(hint) in (Union, types.UnionType):
        return _one_of(get_args(hint), value, where, field)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, value, where, field)
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, enum.Enum)):
        return _choice(hint, value, where, field)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _refusal(where, field, _allowed(hint), value)
        inner = arguments[1] if arguments else Any
        return {name: _value(inner, one, where, _within(field, str(name))) for name, one in value.items()}
    if origin in _IN_WORDS:
        return _scalar(origin, value, where, field)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(hint, value, where, field)
    raise TypeError(f"{field}: a field of type {hint} has no plain form. `storage/plain.py` names those that have.")


def _scalar(kind: type, value: Any, where: str, field: str) -> Any:
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise _refusal(where, field, _IN_WORDS[kind], value)
    return value


def _sequence(hint: Any, value: Any, where: str, field: str) -> tuple:
    arguments = get_args(hint)
    fixed = get_origin(hint) is tuple and Ellipsis not in arguments
    if not isinstance(value, list | tuple) or (fixed and len(value) != len(arguments)):
        raise _refusal(where, field, _allowed(hint), value)
    inner = arguments if fixed else [arguments[0] if arguments else Any] * len(value)
    return tuple(_value(one, x, where, f"{field}[{i}]") for i, (one, x) in enumerate(zip(inner, value, strict=True)))


def _choice(hint: Any, value: Any, where: str, field: str) -> Any:
    choices = get_args(hint) or tuple(one.value for one in hint)
    if value not in choices:
        raise _refusal(where, field, _allowed(hint), value)
    return value if get_origin(hint) is Literal else hint(value)


def _one_of(hints: tuple, value: Any, where: str, field: str) -> Any:
    """The first of several types that fits; the error of the only one that is left where one is left."""
    if value is None and types.NoneType in hints:
        return None
    left = [hint for hint in hints if hint is not types.NoneType]
    for hint in left:
        try:
            return _value(hint, value, where, field)
        except UsageError:
            # What is wrong inside a record is said exactly; of a scalar, everything that is allowed is named.
            if len(left) == 1 and left[0] not in _IN_WORDS and isinstance(value, Mapping | list | tuple):
                raise
    raise _refusal(where, field, " or ".join(_allowed(hint) for hint in hints), value)


def _allowed(hint: Any) -> str:
    """What an annotation allows, in words."""
    origin = get_origin(hint) or hint
    if hint is types.NoneType:
        return "nothing"
    if origin in _IN_WORDS:
        return _IN_WORDS[origin]
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return f"one of {', '.join(repr(one.value) for one in origin)}"
    if dataclasses.is_dataclass(hint) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "a table of names and values"
    arguments = get_args(hint)
    if origin is tuple and arguments and Ellipsis not in arguments:
        return f"a list of {len(arguments)} values"
    each = _IN_WORDS.get(arguments[0]) if arguments else None
    return "a list" if each is None else f"a list, each of it {each}"


def _within(field: str, name: str) -> str:
    name = name[:_MOST_CHARACTERS]
    return f"{field}.{name}" if field else name


def _place(where: str, field: str) -> str:
    return ": ".join(part for part in (where, field) if part) or "the data"


def _refusal(where: str, field: str, allowed: str, value: Any) -> UsageError:
    return UsageError(f"{_place(where, field)} must be {allowed}; came {_shown(value)}.")


def _shown(value: Any) -> str:
    shown = reprlib.repr(value)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]} …"
