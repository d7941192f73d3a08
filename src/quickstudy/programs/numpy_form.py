"""Programs in NumPy: as the source of a Python function, and as that function.

A small operation of NumPy takes about a microsecond whatever it computes, so the source has as few of them as it can. Temporary
arrays are overwritten where nothing needs them any more, and NumPy broadcasts by itself.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quickstudy.programs.numpy_operations import beside, expression, helpers_for, literal
from quickstudy.programs.program import Constant, Operation, Program, Value

_IN_PLACE = {"add": "{0} += {1}", "sub": "{0} -= {1}", "mul": "{0} *= {1}", "div": "{0} /= {1}"}
_WITH_OUTPUT = {name: f"np.{name}({{0}}, out={{0}})" for name in ("exp", "log", "tanh", "sqrt", "abs", "log1p", "expm1")} | {
    "max": "np.maximum({0}, {1}, out={0})",
    "min": "np.minimum({0}, {1}, out={0})",
    "neg": "np.negative({0}, out={0})",
}
_OF_PYTHON = {
    "is_finite": "math.isfinite({})",
    "not": "not {}",
    "and": "{} and {}",
    "or": "{} or {}",
    "select": "{1} if {0} else {2}",
    **{kind: f"{{}} {sign} {{}}" for kind, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/"))},
    **{
        kind: f"{{}} {sign} {{}}"
        for kind, sign in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
    },
}
"""Operations on single numbers that Python does by itself."""
_COMMUTE = ("add", "mul", "max", "min")
_VIEWS = ("reshape", "slice", "transpose", "broadcast", "bits")
_LITERALS = ("add", "sub", "mul", "div", "max", "min", "pow", "rem", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor",
             "shift_left", "shift_right")  # fmt: skip


def numpy_function(program: Program) -> Callable[..., tuple]:
    """The program as a function: takes its inputs in order, returns its outputs in order.

    Raises:
      NotImplementedError: an operation that has no form in NumPy.
    """
    arrays = {f"c{number}": constant for number, constant in enumerate(program.constants)}
    source = numpy_source(program, "function", {constant: name for name, constant in arrays.items()})
    names: dict[str, Any] = {name: constant.array for name, constant in arrays.items()}
    names |= {"np": np, "math": math, "statistics": statistics}
    exec(compile(helpers_for(source) + source, "<program>", "exec"), names)
    return names["function"]


def numpy_source(program: Program, name: str, constants: Mapping[Value, str]) -> str:
    """The source of that function.

    Args:
      program: all of whose operations have a form in NumPy.
      name: of the function.
      constants: names of the arrays that its constants are. An operation whose output has a name here is left out.
    Raises:
      NotImplementedError: an operation that has none.
    """
    if program.unsupported:
        raise NotImplementedError(f"no form outside of JAX: {', '.join(program.unsupported)}")
    return _Writer(program, constants).source(name)


class _Writer:
    """Writes one program, operation by operation."""

    def __init__(self, program: Program, constants: Mapping[Value, str]):
        self._program = program
        self._names: dict[Value, str] = {value: _identifier(name) for name, value in program.inputs.items()}
        self._names |= constants
        self._base: dict[Value, Value] = {}
        self._definitions = {op.output: op for op in program.operations}
        self._last_use = self._last_uses()
        self._lines: list[str] = []
        self._inline = self._inline_broadcasts()
        self._uncast_here = self._casts_on_joining()
        # Callers may give numbers of Python.
        self._of_python = {value for value in program.inputs.values() if not value.shape and value.dtype.kind != "u"}

    def source(self, name: str) -> str:
        """The whole function."""
        for place, op in enumerate(self._program.operations):
            if op.output not in self._names and op.output not in self._inline and op.output not in self._uncast_here:
                self._write(place, op)
        results = ", ".join(self._text(value, literals=False) for value in self._program.outputs.values())
        head = f"def {name}({', '.join(_identifier(name) for name in self._program.inputs)}):"
        return "\n".join([head, *(f"    {line}" for line in self._lines), f"    return ({results},)"]) + "\n"

    def _last_uses(self) -> dict[Value, int]:
        """The place of the last operation that reads an array, through any view of it; outputs are read after the end."""
        for op in self._program.operations:
            if op.kind in _VIEWS:
                self._base[op.output] = self._base_of(op.inputs[0])
        uses: dict[Value, int] = {}
        for place, op in enumerate(self._program.operations):
            uses.update({self._base_of(value): place for value in op.inputs})
        uses.update({self._base_of(value): len(self._program.operations) for value in self._program.outputs.values()})
        return uses

    def _base_of(self, value: Value) -> Value:
        return self._base.get(value, value)

    def _inline_broadcasts(self) -> set[Value]:
        """Broadcasts that only elementwise operations read, which broadcast by themselves."""
        spread = {op.output for op in self._program.operations if op.kind == "broadcast"}
        for op in self._program.operations:
            whole = op.elementwise and any(
                value.shape == op.output.shape and value not in spread and value.shape for value in op.inputs
            )
            if not whole and not (op.elementwise and self._covers(op, spread)):
                spread.difference_update(op.inputs)
        return spread.difference(self._program.outputs.values())

    def _covers(self, op: Operation, spread: set[Value]) -> bool:
        """Whether broadcast inputs give the whole shape of an output together."""
        axes: set[int] = set()
        for value in op.inputs:
            if value in spread:
                axes.update(self._definitions[value].settings["axes"])
        return axes == set(range(len(op.output.shape)))

    def _casts_on_joining(self) -> set[Value]:
        """Truth values as numbers that only vectors take up: writing them into a vector makes numbers of them."""
        readers: dict[Value, list[Operation]] = {}
        for op in self._program.operations:
            for value in op.inputs:
                readers.setdefault(value, []).append(op)
        return {
            op.output
            for op in self._program.operations
            if op.kind == "cast"
            and op.output.shape
            and op.inputs[0].dtype == np.bool_
            and op.inputs[0] not in self._inline
            and op.output not in self._program.outputs.values()
            and all(reader.kind == "concatenate" and len(reader.output.shape) == 1 for reader in readers[op.output])
        }

    def _uncast(self, value: Value) -> Value:
        return self._definitions[value].inputs[0] if value in self._uncast_here else value

    def _write(self, place: int, op: Operation) -> None:
        if op.kind == "concatenate" and len(op.output.shape) == 1:
            return self._write_joined(op)
        if op.kind == "logistic" and op.output.shape:
            return self._write_logistic(op)
        if not op.output.shape and self._write_scalar(op):
            return None
        target = self._overwritten(place, op)
        if target is not None:
            return self._write_in_place(op, target)
        name = self._new_name(op.output)
        literals = op.kind in _LITERALS and any(not isinstance(value, Constant) for value in op.inputs)
        # Python's own numbers take the type of an array that they are combined with; on their own they would become 64 bits.
        weak = literals and op.kind != "pow" and bool(op.output.shape)
        texts = [self._text(value, literals=literals, weak=weak or value.dtype == np.bool_) for value in op.inputs]
        self._lines.append(f"{name} = {expression(op, texts)}")
        return None

    def _write_scalar(self, op: Operation) -> bool:
        """Writes an operation on single numbers in Python itself, where that is the same; Python's are the faster ones."""
        kind, boolean = op.kind, op.output.dtype == np.bool_
        text = _OF_PYTHON.get(kind)
        if kind in ("and", "or", "not") and not boolean:
            text = None
        if kind == "cast":
            text = {"b": "bool({})", "i": "int({})", "f": "float({})"}.get(op.output.dtype.kind)
        if kind == "div" and not (
            isinstance(op.inputs[1], Constant) and op.inputs[1].array != 0 and op.output.dtype.kind == "f"
        ):
            text = None
        if text is None or op.output.dtype.kind == "u" or any(value.shape or value.dtype.kind == "u" for value in op.inputs):
            return False
        operands = [self._text(value, weak=True) for value in op.inputs]
        self._lines.append(f"{self._new_name(op.output)} = {text.format(*operands)}")
        self._of_python.add(op.output)
        return True

    def _write_in_place(self, op: Operation, target: Value) -> None:
        others = [value for value in op.inputs if value is not target]
        texts = [self._names[target], *(self._text(value, literals=True) for value in others)]
        if len(op.inputs) == 2 and not others:
            texts.append(texts[0])
        self._lines.append((_IN_PLACE | _WITH_OUTPUT)[op.kind].format(*texts))
        self._names[op.output] = self._names[target]

    def _overwritten(self, place: int, op: Operation) -> Value | None:
        """The input that an operation may write its output over: a temporary that nothing reads later."""
        if op.kind not in _IN_PLACE | _WITH_OUTPUT or not op.output.shape or op.output.dtype != np.float32:
            return None
        for value in op.inputs if op.kind in _COMMUTE else op.inputs[:1]:
            made = self._definitions.get(value)
            fresh = made is not None and made.kind not in (*_VIEWS, "select", "take") and value not in self._inline
            same = value.shape == op.output.shape and value.dtype == op.output.dtype
            if fresh and same and self._last_use[value] == place and self._base_of(value) is value:
                return value
        return None

    def _write_logistic(self, op: Operation) -> None:
        name = self._new_name(op.output)
        self._lines += [
            f"{name} = 0.5 * {self._text(op.inputs[0])}",
            f"np.tanh({name}, out={name})",
            f"{name} *= 0.5",
            f"{name} += 0.5",
        ]

    def _write_joined(self, op: Operation) -> None:
        name, start = self._new_name(op.output), 0
        self._lines.append(f"{name} = np.empty({op.output.shape[0]}, np.{np.dtype(op.output.dtype).name})")
        for value, size in zip(map(self._uncast, op.inputs), op.settings["sizes"], strict=True):
            where = str(start) if size == 1 else f"{start}:{start + size}"
            self._lines.append(f"{name}[{where}] = {self._text(value, literals=True)}")
            start += size

    def _new_name(self, value: Value) -> str:
        return self._names.setdefault(value, f"v{len(self._names)}")

    def _text(self, value: Value, *, literals: bool = True, weak: bool = True) -> str:
        """How a value is written where it is read; numbers of Python as such only if that is `weak`."""
        if isinstance(value, Constant) and literals:
            written = literal(value.array)
            if written is not None:
                return written
        if value in self._inline:
            op = self._definitions[value]
            return beside(op, self._text(op.inputs[0], literals=literals, weak=weak))
        if value in self._of_python and not weak:
            return f"np.{'bool_' if value.dtype == np.bool_ else value.dtype.name}({self._names[value]})"
        return self._names[value]


def _identifier(name: str) -> str:
    """A name of a program's input as a name of Python."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)
