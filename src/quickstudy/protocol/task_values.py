"""Tasks of environments outside JAX: from what a user's `sample` draws to a stack of arrays, and back to the user's own types.

    drawn      {"size": 5, "load": Load(mass=0.3)}                     Python's numbers, dataclasses, arrays
    stacked    {"size": int32[tasks], "load": Load(float32[tasks])}    what is hashed, stored and given to workers
    restored   {"size": 5, "load": Load(mass=0.3)}                     what `begin`, `make` and `set_task` are given

A stack is built around no user's code: the constructor of a dataclass runs for one task alone, so that it may check its fields.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import TaskDistributionError

_PADDING = "Give it one shape in all tasks: pad it to the largest, with a mask or a length beside it that says what counts"


def see_into_dataclasses(task: PyTree) -> None:
    """Lets JAX see a dataclass that it does not know as a tree of its fields, without calling its constructor."""
    for leaf in jax.tree.leaves(task):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            _register(type(leaf))
            see_into_dataclasses(leaf)


def _register(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    keys = [jax.tree_util.GetAttrKey(name) for name in names]

    def flatten(task: Any) -> tuple[list, None]:
        return [getattr(task, name) for name in names], None

    def flatten_with_keys(task: Any) -> tuple[list, None]:
        return [(key, getattr(task, name)) for key, name in zip(keys, names, strict=True)], None

    jax.tree_util.register_pytree_with_keys(
        kind, flatten_with_keys, lambda _, values: _with_fields(kind, dict(zip(names, values, strict=True))), flatten
    )


def _with_fields(kind: type, values: dict[str, Any]) -> Any:
    """An instance with these fields, whose constructor was not called."""
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def stack_tasks(drawn: Sequence[PyTree], *, of: str, split: str) -> PyTree:
    """Tasks as one tree of arrays, leading axis `[tasks]`, of the types that JAX computes with.

    Args:
      drawn: tasks as `sample` gives them.
      of: the name of the distribution.
      split: the name of the split.
    Raises:
      TaskDistributionError: two tasks of different structure or shapes, something that is no number, or a whole number that
        32 bits do not hold. It names the place.
    """
    for task in drawn:
        see_into_dataclasses(task)
    first: Any = jax.tree.structure(drawn[0])
    unlike = next((task for task in drawn if first != jax.tree.structure(task)), None)
    if unlike is not None:
        raise TaskDistributionError(
            f"{of}: tasks of {split!r} are built differently: {_structure_difference(drawn[0], unlike)}."
        )
    places = [_place(path) for path, _ in jax.tree_util.tree_leaves_with_path(drawn[0])]
    columns = zip(*(jax.tree.leaves(task) for task in drawn), strict=True)
    stacked = [_stacked(f"{of}: {place} of a task of {split!r}", leaves) for place, leaves in zip(places, columns, strict=True)]
    return jax.tree.unflatten(first, stacked)


def _structure_difference(one: PyTree, other: PyTree) -> str:
    """What differs between two tasks of different structure, in words."""
    first, second = ({_place(path) for path, _ in jax.tree_util.tree_leaves_with_path(task)} for task in (one, other))
    only = [
        f"one holds {', '.join(sorted(places)[:3])}, another does not" for places in (first - second, second - first) if places
    ]
    if not only:
        return f"{jax.tree.structure(one)} and {jax.tree.structure(other)}"
    return f"{'; '.join(only)}. {_PADDING}"


def _place(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".") or "the number"


def _stacked(place: str, leaves: Sequence[Any]) -> np.ndarray:
    arrays = [np.asarray(leaf) for leaf in leaves]
    strange = next((array for array in arrays if array.dtype.kind not in "biuf"), None)
    if strange is not None:
        raise TaskDistributionError(
            f"{place} is {strange.tolist()!r}. Tasks are numbers, arrays of them, dicts, tuples and dataclasses of "
            "these; draw the number of a name rather than the name."
        )
    unlike = next((array for array in arrays if array.shape != arrays[0].shape), None)
    if unlike is not None:
        raise TaskDistributionError(f"{place} has the shape {arrays[0].shape} in one, {unlike.shape} in another. {_PADDING}.")
    whole = np.stack(arrays)
    narrow = whole.astype(jax.dtypes.canonicalize_dtype(whole.dtype))
    if np.issubdtype(whole.dtype, np.integer) and not np.array_equal(whole, narrow):
        raise TaskDistributionError(f"{place} is a whole number beyond 32 bits. Draw smaller ones, or split them in two.")
    return narrow


def restored(task: PyTree, example: PyTree) -> PyTree:
    """One task of a stack with the types of a task as it is drawn, for the user's code.

    Python's numbers come back as Python's numbers: a fraction as the shortest decimal number that 32 bits round to the same, so
    that a drawn 9.81 is 9.81. Numbers and arrays of NumPy get their drawn type. A dataclass is made by its constructor, or
    without it where the constructor does not take its fields or refuses them after rounding.

    Args:
      task: one entry of every leaf of a stack.
      example: any task as it was drawn.
    """
    structure: Any = jax.tree.structure(example)
    return _restored(task, example) if structure == jax.tree.structure(task) else task


def _restored(value: Any, example: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        given = {field.name: _restored(getattr(value, field.name), getattr(example, field.name)) for field in fields}
        try:
            return type(value)(**{field.name: given[field.name] for field in fields if field.init})
        except Exception:
            return _with_fields(type(value), given)
    if isinstance(value, dict):
        return type(value)({name: _restored(inner, example[name]) for name, inner in value.items()})
    if isinstance(value, tuple | list):
        parts = [_restored(one, other) for one, other in zip(value, example, strict=True)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, np.generic | np.ndarray):
        return _leaf_like(value, example)
    return value


def _leaf_like(leaf: np.generic | np.ndarray, example: Any) -> Any:
    kind = np.asarray(example).dtype.kind
    if isinstance(example, np.generic | np.ndarray):
        return leaf.astype(example.dtype) if leaf.dtype.kind == kind else leaf
    if isinstance(example, bool | int | float) and not leaf.ndim:
        return float(str(leaf)) if leaf.dtype.kind == "f" else leaf.item()
    return leaf
