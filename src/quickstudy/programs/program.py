"""A function as a list of operations on arrays: what is left of a traced function when JAX is taken away.

    Value       an array that is known by its shape and type only: an input, or the output of an operation
    Constant    an array that is known
    Operation   a kind, its inputs, its output, and settings such as an axis
    Program     inputs by name, operations in order, outputs by name

Shapes have no axes of length one, because such axes hold no information: `[1, 5, 1]` is `[5]` here. So most of the reshaping in
a traced function vanishes. `tracing.py` makes programs from functions of JAX. `numpy_form.py` runs them in NumPy.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Shape = tuple[int, ...]

UNARY = ("neg", "exp", "expm1", "log", "log1p", "tanh", "logistic", "sqrt", "rsqrt", "abs", "sign", "floor", "cos", "sin",
         "erf", "erfc", "erf_inv", "is_finite", "not", "cast", "bits")  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "max", "min", "pow", "rem", "and", "or", "xor", "shift_left", "shift_right", "eq", "ne",
          "lt", "le", "gt", "ge")  # fmt: skip
ELEMENTWISE = frozenset((*UNARY, *BINARY, "select"))
"""Operations that make one number from the numbers at the same place of their inputs. `cast` changes the type, `bits` reads the
same bits as another type. `select` has three inputs: condition, value if true, value if false."""
OTHERS = frozenset(
    ("broadcast", "reshape", "transpose", "slice", "concatenate", "pad", "matmul", "vecmat", "sum", "largest", "least", "all",
     "any", "argmax", "cumsum", "cummax", "take", "random_bits", "fold_in")
)  # fmt: skip
"""All other operations.

`broadcast` (axes: the axes of the output that its input's axes become), `reshape`, `transpose` (axes), `slice` (ranges: start,
stop and step by axis; a range of length one drops its axis), `concatenate` (axis, sizes), `pad` (before, after; the second
input is the padding), `matmul` (`[..., m, k] [..., k, n]`), `vecmat` (`[k] [k, n]` or `[k] [k]`), `sum`, `largest`, `least`,
`all`, `any` (axes), `argmax`, `cumsum`, `cummax` (axis), `take` (rows of the first input by the numbers of the second),
`random_bits` (of a key `[2]`), `fold_in` (of a number into a key)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """An array that an operation or a caller gives; two values are equal only if they are the same object."""

    shape: Shape
    dtype: np.dtype

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Value):
    """An array that is known."""

    array: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation. Elementwise ones take inputs of their output's shape, or scalars."""

    kind: str
    inputs: tuple[Value, ...]
    output: Value
    settings: dict[str, Any]

    @property
    def elementwise(self) -> bool:
        """Whether it works number by number."""
        return self.kind in ELEMENTWISE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A function: `operations` are in an order in which each has its inputs."""

    inputs: dict[str, Value]
    operations: tuple[Operation, ...]
    outputs: dict[str, Value]

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Names of operations of JAX that have no form outside of it; each once."""
        foreign = (op.kind for op in self.operations if op.kind not in ELEMENTWISE | OTHERS)
        return tuple(dict.fromkeys(foreign))

    @property
    def constants(self) -> tuple[Constant, ...]:
        """Every constant that an operation or an output uses."""
        used = [*(value for op in self.operations for value in op.inputs), *self.outputs.values()]
        return tuple(dict.fromkeys(value for value in used if isinstance(value, Constant)))

    def depends_on(self, name: str) -> frozenset[str]:
        """Names of the outputs that depend on an input."""
        reached = {self.inputs[name]}
        for op in self.operations:
            if reached.intersection(op.inputs):
                reached.add(op.output)
        return frozenset(output for output, value in self.outputs.items() if value in reached)


def needed(definitions: Mapping[Value, Operation], outputs: Mapping[str, Value]) -> tuple[Operation, ...]:
    """The operations that outputs need, in the order in which they were defined.

    Args:
      definitions: the operation of every value that has one, in order.
      outputs: that are wanted.
    """
    wanted: set[Value] = set()
    left: list[Value] = list(outputs.values())
    while left:
        value = left.pop()
        if value not in wanted:
            wanted.add(value)
            left += definitions[value].inputs if value in definitions else ()
    return tuple(op for value, op in definitions.items() if value in wanted)


def multiplications(operations: Iterable[Operation]) -> int:
    """Products of numbers in the matrix products of some operations."""
    return sum(op.output.size * op.inputs[0].shape[-1] for op in operations if op.kind in ("matmul", "vecmat"))
