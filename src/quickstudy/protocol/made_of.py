"""A function of flat settings, from a function of the dataclass that holds and checks them.

A distribution whose prior has many numbers keeps them in one record, so that another program can make the record from data. The
command line and `quickstudy.tasks.make` name the same settings one by one.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from quickstudy.protocol.settings import annotations_of

Settings = TypeVar("Settings")
Made = TypeVar("Made")


def made_of(kind: type[Settings]) -> Callable[[Callable[[Settings], Made]], Callable[..., Made]]:
    """Turns `f(settings)` into `f(*, name=value, ...)` with the fields, defaults and documentation of the settings' class.

    Args:
      kind: a keyword-only dataclass; the `Args` of its docstring document its fields.
    Example:
      >>> @dataclasses.dataclass(frozen=True, kw_only=True)
      ... class Size:
      ...     width: int = 2
      ...     height: int = 3
      >>> made_of(Size)(lambda size: size.width * size.height)(height=5)
      10
    """

    def decorate(make: Callable[[Settings], Made]) -> Callable[..., Made]:
        @functools.wraps(make)
        def made(**settings: Any) -> Made:
            return make(kind(**settings))

        made.__doc__ = inspect.getdoc(kind)
        made.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
        kinds, fields = annotations_of(kind), dataclasses.fields(kind)  # type: ignore[arg-type]
        made.__annotations__ = {field.name: kinds[field.name] for field in fields}
        return made

    return decorate
