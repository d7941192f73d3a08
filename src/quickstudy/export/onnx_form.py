"""Programs as nodes of an ONNX graph.

ONNX broadcasts as NumPy does. So a broadcast that only elementwise operations read becomes axes of length one. It is written
out only where an operation reads the whole array.
"""

import importlib
from collections.abc import Mapping

import numpy as np

from quickstudy.export.broadcasts import shape_beside, spread_by_itself
from quickstudy.export.onnx_graph import OnnxGraph
from quickstudy.export.onnx_operations import WRITABLE, elementwise_node
from quickstudy.programs.lowering import LOWERED, lowered
from quickstudy.programs.program import Constant, Operation, Program, Value
from quickstudy.protocol.errors import MissingExtraError

_REDUCTIONS = {"sum": "ReduceSum", "largest": "ReduceMax", "least": "ReduceMin", "all": "ReduceMin", "any": "ReduceMax"}


def check_onnx_installed() -> None:
    """Raises MissingExtraError if a package that writes or runs ONNX files is not installed."""
    for package, what in (("onnx", "ONNX"), ("onnxruntime", "ONNX Runtime")):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError(what, "onnx") from error


def without_onnx_form(program: Program) -> tuple[str, ...]:
    """Names of the operations of a program that ONNX has no form for; each once."""
    return tuple(dict.fromkeys(op.kind for op in program.operations if op.kind not in WRITABLE))


def write_program(graph: OnnxGraph, program: Program, names: Mapping[Value, str]) -> dict[str, str]:
    """Adds a program to a graph.

    Args:
      graph: that the nodes go to.
      program: all of whose operations have a form in ONNX.
      names: in the graph, of the program's inputs.
    Returns:
      Names in the graph of the program's outputs, by their names in the program.
    """
    program = lowered(program, LOWERED)
    writer = _Writer(graph, program, names)
    for op in program.operations:
        if op.kind != "broadcast":
            writer.write(op)
    return {name: writer.tensor(value) for name, value in program.outputs.items()}


class _Writer:
    """Writes the operations of one program."""

    def __init__(self, graph: OnnxGraph, program: Program, names: Mapping[Value, str]):
        self._graph, self._names = graph, dict(names)
        self._spread = {op.output: op for op in program.operations if op.kind == "broadcast"}

    def tensor(self, value: Value) -> str:
        """The name of a whole array; a broadcast is written when it is first read."""
        if isinstance(value, Constant):
            return self._graph.constant(value.array)
        if value not in self._names:
            beside = self._beside(self._spread[value])
            self._names[value] = self._graph.node("Expand", beside, self._graph.constant(value.shape, np.int64))
        return self._names[value]

    def write(self, op: Operation) -> None:
        """Adds an operation."""
        if op.elementwise:
            self._names[op.output] = elementwise_node(self._graph, op, self._operands(op))
        else:
            self._names[op.output] = getattr(self, f"_{op.kind}", self._reduction)(op)

    def _operands(self, op: Operation) -> list[str]:
        """Inputs of an elementwise operation, broadcasts as what they spread if the others give the whole shape."""
        compact = spread_by_itself(op, self._spread)
        return [
            self._beside(self._spread[value]) if compact and value in self._spread else self.tensor(value)
            for value in op.inputs
        ]

    def _beside(self, op: Operation) -> str:
        """The input of a broadcast with axes of length one, so that ONNX broadcasts it to the output's shape."""
        source, shape = self.tensor(op.inputs[0]), shape_beside(op)
        return source if shape == op.inputs[0].shape else self._graph.reshaped(source, shape)

    def _reshape(self, op: Operation) -> str:
        return self._graph.reshaped(self.tensor(op.inputs[0]), op.output.shape)

    def _transpose(self, op: Operation) -> str:
        return self._graph.node("Transpose", self.tensor(op.inputs[0]), perm=list(op.settings["axes"]))

    def _slice(self, op: Operation) -> str:
        source, ranges = op.inputs[0], op.settings["ranges"]
        cut = [axis for axis, (length, one) in enumerate(zip(source.shape, ranges, strict=True)) if one != (0, length, 1)]
        single = [axis for axis in cut if ranges[axis][1] - ranges[axis][0] <= ranges[axis][2]]
        name = self.tensor(source)
        if len(cut) == len(single) == 1:
            return self._graph.node("Gather", name, self._graph.constant(ranges[cut[0]][0], np.int64), axis=cut[0])
        starts, ends, steps = ([ranges[axis][place] for axis in cut] for place in range(3))
        constants = [self._graph.constant(numbers, np.int64) for numbers in (starts, ends, cut, steps)]
        part = self._graph.node("Slice", name, *constants)
        return self._graph.reshaped(part, op.output.shape) if single else part

    def _concatenate(self, op: Operation) -> str:
        axis, shape, parts = op.settings["axis"], op.output.shape, []
        for value, size in zip(op.inputs, op.settings["sizes"], strict=True):
            name = self.tensor(value)
            parts.append(name if size > 1 else self._graph.reshaped(name, (*shape[:axis], 1, *shape[axis + 1 :])))
        return self._graph.node("Concat", *parts, axis=axis)

    def _pad(self, op: Operation) -> str:
        widths = self._graph.constant([*op.settings["before"], *op.settings["after"]], np.int64)
        return self._graph.node("Pad", self.tensor(op.inputs[0]), widths, self.tensor(op.inputs[1]))

    def _matmul(self, op: Operation) -> str:
        return self._graph.node("MatMul", *map(self.tensor, op.inputs))

    _vecmat = _matmul

    def _reduction(self, op: Operation) -> str:
        graph, name, dtype = self._graph, self.tensor(op.inputs[0]), op.inputs[0].dtype
        name = graph.cast(name, np.int32) if dtype == np.bool_ else graph.computable(name, dtype)
        reduced = graph.node(_REDUCTIONS[op.kind], name, graph.constant(op.settings["axes"], np.int64), keepdims=0)
        return graph.cast(reduced, np.bool_) if dtype == np.bool_ else graph.as_it_was(reduced, dtype)

    def _argmax(self, op: Operation) -> str:
        source = self._graph.computable(self.tensor(op.inputs[0]), op.inputs[0].dtype)
        return self._graph.cast(self._graph.node("ArgMax", source, axis=op.settings["axis"], keepdims=0), op.output.dtype)

    def _cumsum(self, op: Operation) -> str:
        source = self._graph.computable(self.tensor(op.inputs[0]), op.inputs[0].dtype)
        summed = self._graph.node("CumSum", source, self._graph.constant(op.settings["axis"], np.int64))
        return self._graph.as_it_was(summed, op.output.dtype)

    def _take(self, op: Operation) -> str:
        table, numbers = op.inputs
        graph, place = self._graph, self._graph.computable(self.tensor(numbers), numbers.dtype)
        dtype = np.int64 if numbers.dtype.name in ("uint32", "int64") else np.int32
        within = graph.node("Max", place, graph.constant(0, dtype))
        within = graph.node("Min", within, graph.constant(table.shape[0] - 1, dtype))
        return graph.node("Gather", self.tensor(table), within, axis=0)
