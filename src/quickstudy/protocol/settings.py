"""Configurations are composed of records; their settings have flat names.

An algorithm *has* the settings of its network and of its outer loop: `RL2Config(network=..., ppo=...)`. People name a setting
without saying which record holds it: `--hidden-size 32`, `hidden_size = 32` in a file, `hidden_size=32` in Python. So every
name stands once in a configuration. This file goes from one form to the other.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Range, checked_value, plain_value, shown

Config = TypeVar("Config")


def flat_settings(config: Any) -> dict[str, Any]:
    """The settings of a configuration by their flat names, in order.

    Args:
      config: a dataclass whose fields are plain values, or dataclasses of the same kind.
    Raises:
      UsageError: two records of it have a setting of the same name.
    Example:
      >>> from quickstudy.algorithms.reptile import ReptileConfig
      >>> flat_settings(ReptileConfig())["hidden_sizes"]
      (64, 64)
    """
    flat: dict[str, Any] = {}
    for record, name, value in _leaves(config):
        if name in flat:
            raise UsageError(
                f"{type(config).__name__} has two settings of the name {name!r}; rename that of {type(record).__name__}."
            )
        flat[name] = value
    return flat


def settings_with_types(kind: type) -> dict[str, Any]:
    """The annotation of every setting of a configuration's class, by flat name; `Any` where it names nothing that is there."""
    found: dict[str, Any] = {}
    try:
        hints = get_type_hints(kind)
    except NameError:  # of a user's file that imports a type for type checkers only
        hints = {}
    for name, hint in hints.items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found |= settings_with_types(hint)
        else:
            found[name] = hint
    return {name: found.get(name, Any) for name in flat_settings(kind())}


def with_settings(config: Config, settings: Mapping[str, Any], *, of: str) -> Config:
    """A configuration in which some settings are replaced; each record checks its own again.

    Args:
      config: a dataclass, as in `flat_settings`.
      settings: new values by flat name.
      of: what the configuration belongs to, for the message.
    Raises:
      UnknownNameError: there is no such setting; the nearest is suggested.
      UsageError: a value out of its range.
    """
    known = flat_settings(config)
    for name in settings:
        if name not in known:
            raise UnknownNameError(f"setting of {of},", name, known)
    return _replaced(config, settings)


def flat_annotations(config: Any) -> dict[str, Any]:
    """The annotation of each setting of a configuration by its flat name, as `checked_value` takes it."""
    return {name: annotations_of(type(record))[name] for record, name, _ in _leaves(config)}


def plain_settings(config: Any) -> dict[str, Any]:
    """The settings of a configuration by their flat names, in the form in which they are stored.

    Raises:
      UsageError: a setting that has no such form.
    """
    return plain_mapping(flat_settings(config))


def plain_mapping(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name in the form in which they are stored; raises UsageError for one that has no such form."""
    return {name: plain_value(name, value) for name, value in settings.items()}


def check_settings(config: Any) -> None:
    """Raises UsageError for the first setting of a configuration, its parts included, whose type or range is wrong.

    The annotation of each field says what is allowed, see `setting_values`.

    Args:
      config: a dataclass, as in `flat_settings`.
    """
    kinds = annotations_of(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_settings(value)
        else:
            checked_value(field.name, kinds[field.name], value)


def annotations_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a dataclass or a function by name, as types; one that names nothing known allows anything."""
    try:
        return get_type_hints(kind, include_extras=True)
    except Exception:  # an annotation as text may name what is not there any more
        written = getattr(kind, "__annotations__", {})
        if dataclasses.is_dataclass(kind):
            written = {field.name: field.type for field in dataclasses.fields(kind)}
        return {name: Any if isinstance(given, str) else given for name, given in written.items()}


def check_above_zero(config: Any, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is zero or below; None is left alone."""
    _check(config, names, POSITIVE)


def check_at_least(config: Any, least: int, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is below the least; None is left alone."""
    _check(config, names, NOT_NEGATIVE if least == 0 else Range(least=least))


def check_at_most(config: Any, most: int, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is above the most; None is left alone."""
    _check(config, names, Range(most=most))


def check_fractions(config: Any, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is not within 0 and 1; None is left alone."""
    _check(config, names, FRACTION)


def check_sizes(config: Any, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is not one size or more, each above zero."""
    check_settings(config)
    for name in names:
        sizes = getattr(config, name)
        if not sizes or min(sizes) < 1:
            raise UsageError(f"{name} must name one width or more, each above zero; came {shown(sizes)}.")


def _check(config: Any, names: tuple[str, ...], allowed: Range) -> None:
    """Raises UsageError for a setting of a wrong type, or the first of these that is out of this range."""
    check_settings(config)
    for name in names:
        value = getattr(config, name)
        if value is not None and value not in allowed:
            raise UsageError(f"{name} must {allowed}; came {shown(value)}.")


def _leaves(config: Any) -> Iterator[tuple[Any, str, Any]]:
    """Record, name and value of every setting."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value)
        else:
            yield config, field.name, value


def _replaced(config: Any, settings: Mapping[str, Any]) -> Any:
    changed: dict[str, Any] = {}
    kinds = annotations_of(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = _replaced(value, settings)
        elif field.name in settings:
            changed[field.name] = checked_value(field.name, kinds[field.name], settings[field.name])
    return dataclasses.replace(config, **changed)
