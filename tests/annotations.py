"""The type checker that the laws' run holds the package to, named in `conftest.py`."""

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar, get_args, runtime_checkable

from beartype import BeartypeConf, BeartypeStrategy, beartype

Function = TypeVar("Function", bound=Callable)

_check = beartype(conf=BeartypeConf(strategy=BeartypeStrategy.O1, is_pep484_tower=True))


def checked(function: Function) -> Function:
    """A function whose arguments and result are checked at every call.

    Two things are left unchecked. `__init__` is, because JAX rebuilds records with other things in the place of their arrays:
    shapes, axis numbers, nothing. `Self` is, because the import hook decorates methods one by one, and beartype knows it in a
    whole class only.
    """
    if function.__name__ == "__init__":
        return function
    hints = getattr(function, "__annotations__", {})
    hints.update({name: Any for name, hint in hints.items() if hint is Self})
    for hint in hints.values():
        for part in parts_of(hint):
            if getattr(part, "_is_protocol", False):
                runtime_checkable(part)
    return _check(function)


def parts_of(hint: Any) -> Iterator[Any]:
    """An annotation and all that are nested in it."""
    yield hint
    for part in get_args(hint):
        yield from parts_of(part)
