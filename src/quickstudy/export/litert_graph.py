"""Tensors and operators of a LiteRT graph, as plain records.

Writing them needs no package. `litert_file.py` makes a file of them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

COMPUTED_AS = {"int8": np.int32, "uint8": np.int32, "int16": np.int32, "uint16": np.int32, "uint32": np.int64}
"""Types that LiteRT does not compute with, and the type that stands for each. Casting back wraps around, as in C."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An array of the graph.

    Args:
      shape: of it, with axes of length one.
      dtype: of its numbers.
      name: of an input or an output of the graph; else empty.
      array: its numbers, if they are known.
      scale: one number of each row of a known matrix of whole numbers, if it stands for the matrix times these.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    name: str = ""
    array: np.ndarray | None = None
    scale: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator: its name in LiteRT, numbers of the tensors that go in, number of the one that comes out, and options."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: dict[str, Any]


class LiteRTGraph:
    """The tensors and operators so far. Tensors are known by their numbers."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self._same: dict[Any, int] = {}

    def input(self, name: str, shape: Sequence[int], dtype: Any) -> int:
        """A tensor that the caller of the graph gives."""
        return self._added(Tensor(tuple(shape), np.dtype(dtype), name=name))

    def node(self, kind: str, *inputs: int, shape: Sequence[int], dtype: Any, **options: Any) -> int:
        """The output of a new operator; of an old one if it is the same.

        Args:
          kind: as LiteRT names it.
          inputs: of the operator.
          shape: of its output.
          dtype: of its output.
          options: of the operator, as the schema of LiteRT names them.
        """
        key = (kind, inputs, tuple(shape), np.dtype(dtype).str, tuple(sorted(options.items())))
        if key not in self._same:
            self._same[key] = self._added(Tensor(tuple(shape), np.dtype(dtype)))
            self.operators.append(Operator(kind, inputs, self._same[key], options))
        return self._same[key]

    def named(self, name: str, source: int, shape: Sequence[int]) -> int:
        """A tensor as an output of the graph, in a shape. A copy, where it is an input, known, or an output already."""
        held = self.tensors[source]
        if held.shape == tuple(shape) and held.array is None and not held.name:
            self.tensors[source] = dataclasses.replace(held, name=name)
            return source
        output = self._added(Tensor(tuple(shape), held.dtype, name=name))
        self.operators.append(Operator("RESHAPE", (source, self.constant(shape, np.int32)), output, {}))
        return output

    def constant(self, array: Any, dtype: Any = None, *, scale: np.ndarray | None = None) -> int:
        """A known array."""
        array = np.asarray(array, dtype)
        key = ("constant", array.dtype.str, array.shape, array.tobytes(), None if scale is None else scale.tobytes())
        if key not in self._same:
            self._same[key] = self._added(Tensor(array.shape, array.dtype, array=array, scale=scale))
        return self._same[key]

    def cast(self, tensor: int, dtype: Any) -> int:
        """The same numbers as another type."""
        return self.node("CAST", tensor, shape=self.tensors[tensor].shape, dtype=dtype)

    def reshaped(self, tensor: int, shape: Sequence[int]) -> int:
        """The same numbers in another shape."""
        held = self.tensors[tensor]
        if held.shape == tuple(shape):
            return tensor
        if held.array is not None and held.scale is None:
            return self.constant(held.array.reshape(tuple(shape)))
        return self.node("RESHAPE", tensor, self.constant(shape, np.int32), shape=shape, dtype=held.dtype)

    def computable(self, tensor: int) -> int:
        """The same numbers as a type that can be computed with."""
        held = self.tensors[tensor].dtype.name
        return self.cast(tensor, COMPUTED_AS[held]) if held in COMPUTED_AS else tensor

    def as_it_was(self, tensor: int, dtype: np.dtype) -> int:
        """What was computed, as the type that it stands for."""
        return self.cast(tensor, dtype) if dtype.name in COMPUTED_AS else tensor

    def _added(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1
