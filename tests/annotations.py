"""The type checker that the laws' run holds the package to, named in `conftest.py`."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

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
    return _check(function)
