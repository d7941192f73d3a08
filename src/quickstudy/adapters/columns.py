"""Columns and names that people bring: lists, arrays of NumPy, columns and tables of pandas. Read by place, never by label."""

from collections.abc import Hashable, Mapping, Set
from typing import Any

import numpy as np

from quickstudy.protocol.casting import described
from quickstudy.protocol.errors import UsageError


def entries(name: str, column: Any) -> list[Any]:
    """The entries of a column, in order.

    A column of a table has labels of its own, as rows of pandas have after a filter or a sort. They have no part in it.

    Args:
      name: of the column, for messages.
      column: a list, a tuple, a range, an array of NumPy, or a column of a table. Of an array or a table of two axes, each row
        is one entry.
    Raises:
      UsageError: one value, one text, or something without an order or a length.
    """
    shape = getattr(column, "shape", None)
    if isinstance(column, str | bytes | Mapping | Set) or not hasattr(column, "__len__") or shape == ():
        raise UsageError(
            f"{name} must be a list, an array or a column of a table, with one entry for each row; came {shown(column)}. "
            "Put a single entry in a list."
        )
    if hasattr(column, "to_numpy") and shape is not None and len(shape) == 2:
        column = column.to_numpy()
        if column.dtype == object:  # columns of different types: each row gets the type that holds all of them
            return [np.asarray(row.tolist()) for row in column]
    return list(column)


def plain_name(kind: str, name: Any) -> Hashable:
    """The name of an arm or a group as Python has it: columns of NumPy hold their own numbers and texts.

    Args:
      kind: `an arm` or `a group`, for messages.
      name: as it came.
    Raises:
      UsageError: a missing value such as NaN, which equals no other; or something that cannot be a name, such as a list.
    """
    plain = name.item() if isinstance(name, np.generic) else name
    try:
        hash(plain)
        is_name = bool(plain == plain)  # NaN is not
    except TypeError:  # no hash; or a missing value of pandas, which is neither equal nor unequal
        is_name = False
    if not is_name:
        raise UsageError(f"the name of {kind} must be a text, a number or another value with a hash; came {shown(name)}.")
    return plain


def shown(value: Any) -> str:
    """What came, for a message; of something long its type and shape."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else described(value)
