"""Configurations are composed of records; their settings have flat names.

An algorithm *has* the settings of its network and of its outer loop: `RL2Config(network=..., ppo=...)`. People name a setting
without saying which record holds it: `--hidden-size 32`, `hidden_size = 32` in a file, `hidden_size=32` in Python. So every
name stands once in a configuration. This file goes from one form to the other.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from quickstudy.protocol.errors import UnknownNameError, UsageError

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
            raise UsageError(f"{type(config).__name__} has two settings of the name {name!r}; rename that of {record}.")
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


def check_above_zero(config: Any, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is zero or below."""
    for name in names:
        if getattr(config, name) <= 0:
            raise UsageError(f"{name} must be above zero; came {getattr(config, name)}.")


def check_at_least(config: Any, least: int, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is below the least."""
    for name in names:
        if getattr(config, name) < least:
            raise UsageError(f"{name} must be {least} or more; came {getattr(config, name)}.")


def check_at_most(config: Any, most: int, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is above the most."""
    for name in names:
        if getattr(config, name) > most:
            raise UsageError(f"{name} must be {most} or less; came {getattr(config, name)}.")


def check_fractions(config: Any, *names: str) -> None:
    """Raises UsageError for the first of these settings of a record that is not within 0 and 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"{name} must lie within 0 and 1; came {getattr(config, name)}.")


def _leaves(config: Any) -> Iterator[tuple[str, str, Any]]:
    """Record, name and value of every setting."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value)
        else:
            yield type(config).__name__, field.name, value


def _replaced(config: Any, settings: Mapping[str, Any]) -> Any:
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = _replaced(value, settings)
        elif field.name in settings:
            given = settings[field.name]
            # JSON and TOML have lists where Python has tuples.
            changed[field.name] = tuple(given) if isinstance(value, tuple) and isinstance(given, list) else given
    return dataclasses.replace(config, **changed)
