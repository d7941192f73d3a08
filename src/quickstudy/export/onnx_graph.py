"""Nodes and constants of an ONNX graph, as plain records.

Writing them needs no package. `onnx_export.py` makes a file of them.
"""

import dataclasses
from typing import Any

import numpy as np

COMPUTED_AS = {"int8": np.int32, "uint8": np.int32, "int16": np.int32, "uint16": np.int32, "uint32": np.int64}
"""Types that ONNX Runtime does not compute with, and the type that stands for each. Casting back wraps around, as in C."""
_NUMBERS = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "uint32": 12,
    "uint64": 13,
}
"""How ONNX numbers the types."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One node: an operator of ONNX, names of its inputs, the name of its output, and attributes."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class OnnxGraph:
    """The nodes and constants so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._same: dict[Any, str] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of a new node; of an old one if it is the same."""
        key = (kind, inputs, tuple(sorted((name, str(value)) for name, value in attributes.items())))
        if key not in self._same:
            self._same[key] = f"t{len(self.nodes)}"
            self.nodes.append(Node(kind, inputs, self._same[key], attributes))
        return self._same[key]

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a known array."""
        array = np.asarray(array, dtype)
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._same:
            self._same[key] = f"w{len(self.constants)}"
            self.constants[self._same[key]] = array
        return self._same[key]

    def cast(self, name: str, dtype: Any) -> str:
        """The same numbers as another type."""
        return self.node("Cast", name, to=_NUMBERS[np.dtype(dtype).name])

    def reshaped(self, name: str, shape: tuple[int, ...]) -> str:
        """The same numbers in another shape."""
        return self.node("Reshape", name, self.constant(shape, np.int64))

    def computable(self, name: str, dtype: np.dtype) -> str:
        """The same numbers as a type that can be computed with."""
        return self.cast(name, COMPUTED_AS[dtype.name]) if dtype.name in COMPUTED_AS else name

    def as_it_was(self, name: str, dtype: np.dtype) -> str:
        """What was computed, as the type that it stands for."""
        return self.cast(name, dtype) if dtype.name in COMPUTED_AS else name

    def select(self, condition: str, chosen: str, other: str, dtype: np.dtype) -> str:
        """One of two arrays at every place."""
        if dtype == np.bool_:  # ONNX Runtime selects among numbers only
            left = self.node("And", condition, chosen)
            return self.node("Or", left, self.node("And", self.node("Not", condition), other))
        chosen, other = self.computable(chosen, dtype), self.computable(other, dtype)
        return self.as_it_was(self.node("Where", condition, chosen, other), dtype)


def type_number(dtype: Any) -> int:
    """How ONNX numbers a type."""
    return _NUMBERS[np.dtype(dtype).name]
