"""Programs as operators of a LiteRT graph.

LiteRT broadcasts as NumPy does. So a broadcast that only elementwise operations read becomes axes of length one. It is written
out only where an operation reads the whole array.
"""

import importlib
from collections.abc import Mapping

import numpy as np

from quickstudy.export.broadcasts import shape_beside, spread_by_itself
from quickstudy.export.litert_graph import LiteRTGraph
from quickstudy.export.litert_operations import elementwise_node, has_litert_form
from quickstudy.programs.lowering import LOWERED, lowered
from quickstudy.programs.program import Constant, Operation, Program, Shape, Value
from quickstudy.protocol.errors import MissingExtraError

_REDUCTIONS = {"sum": "SUM", "largest": "REDUCE_MAX", "least": "REDUCE_MIN", "all": "REDUCE_ALL", "any": "REDUCE_ANY"}


def check_litert_installed() -> None:
    """Raises MissingExtraError if the package that holds the schema and the interpreter of LiteRT is not installed."""
    try:
        importlib.import_module("ai_edge_litert")
    except ModuleNotFoundError as error:
        raise MissingExtraError("LiteRT", "litert") from error


def without_litert_form(program: Program) -> tuple[str, ...]:
    """Names of the operations of a program that LiteRT has no form for; each once."""
    return tuple(dict.fromkeys(op.kind for op in program.operations if not has_litert_form(op)))


def write_program(graph: LiteRTGraph, program: Program, tensors: Mapping[Value, int]) -> dict[str, int]:
    """Adds a program to a graph.

    Args:
      graph: that the operators go to.
      program: all of whose operations have a form in LiteRT.
      tensors: of the graph, that are the program's inputs.
    Returns:
      Tensors of the graph that are the program's outputs, by their names in the program.
    """
    program = lowered(program, LOWERED)
    writer = _Writer(graph, program, tensors)
    for op in program.operations:
        if op.kind != "broadcast" and not _of_few_bits(op):
            writer.write(op)
    return {name: writer.tensor(value) for name, value in program.outputs.items()}


def _of_few_bits(op: Operation) -> bool:
    """Whether an operation widens a known matrix that is held in fewer bits."""
    return op.kind == "cast" and isinstance(op.inputs[0], Constant) and op.inputs[0].dtype in (np.int8, np.float16)


class _Writer:
    """Writes the operations of one program."""

    def __init__(self, graph: LiteRTGraph, program: Program, tensors: Mapping[Value, int]):
        self._graph, self._tensors = graph, dict(tensors)
        self._spread = {op.output: op for op in program.operations if op.kind == "broadcast"}
        self._held = {op.output: op.inputs[0] for op in program.operations if _of_few_bits(op)}

    def tensor(self, value: Value) -> int:
        """A whole array; a broadcast is written when it is first read."""
        graph = self._graph
        if isinstance(value, Constant):
            return graph.constant(value.array)
        if value not in self._tensors:
            beside, shape = self._beside(self._spread[value]), graph.constant(value.shape, np.int32)
            self._tensors[value] = graph.node("BROADCAST_TO", beside, shape, shape=value.shape, dtype=value.dtype)
        return self._tensors[value]

    def write(self, op: Operation) -> None:
        """Adds an operation."""
        if op.elementwise:
            self._tensors[op.output] = elementwise_node(self._graph, op, self._operands(op))
        else:
            self._tensors[op.output] = getattr(self, f"_{op.kind}", self._reduction)(op)

    def _operands(self, op: Operation) -> list[int]:
        """Inputs of an elementwise operation, broadcasts as what they spread if the others give the whole shape."""
        compact = spread_by_itself(op, self._spread)
        return [
            self._beside(self._spread[value]) if compact and value in self._spread else self.tensor(value)
            for value in op.inputs
        ]

    def _beside(self, op: Operation) -> int:
        """The input of a broadcast with axes of length one, so that LiteRT broadcasts it to the output's shape."""
        return self._graph.reshaped(self.tensor(op.inputs[0]), shape_beside(op))

    def _node(self, kind: str, op: Operation, *inputs: int, **options: object) -> int:
        return self._graph.node(kind, *inputs, shape=op.output.shape, dtype=op.output.dtype, **options)

    def _whole(self, numbers: object) -> int:
        """Whole numbers that say how, as LiteRT takes them."""
        return self._graph.constant(numbers, np.int32)

    def _reshape(self, op: Operation) -> int:
        return self._graph.reshaped(self.tensor(op.inputs[0]), op.output.shape)

    def _transpose(self, op: Operation) -> int:
        return self._node("TRANSPOSE", op, self.tensor(op.inputs[0]), self._whole(op.settings["axes"]))

    def _slice(self, op: Operation) -> int:
        starts, stops, steps = zip(*op.settings["ranges"], strict=True)
        single = [stop - start <= step for start, stop, step in op.settings["ranges"]]
        shrunk = sum(1 << axis for axis, one in enumerate(single) if one)
        cuts = [self._whole(numbers) for numbers in (starts, stops, steps)]
        return self._node("STRIDED_SLICE", op, self.tensor(op.inputs[0]), *cuts, shrinkAxisMask=shrunk)

    def _concatenate(self, op: Operation) -> int:
        axis, shape, parts = op.settings["axis"], op.output.shape, []
        for value, size in zip(op.inputs, op.settings["sizes"], strict=True):
            parts.append(self._graph.reshaped(self.tensor(value), (*shape[:axis], size, *shape[axis + 1 :])))
        return self._node("CONCATENATION", op, *parts, axis=axis)

    def _pad(self, op: Operation) -> int:
        widths = self._whole(list(zip(op.settings["before"], op.settings["after"], strict=True)))
        return self._node("PADV2", op, self.tensor(op.inputs[0]), widths, self.tensor(op.inputs[1]))

    def _matmul(self, op: Operation) -> int:
        left, right = op.inputs
        known = self._held.get(right, right)
        if isinstance(known, Constant) and len(known.shape) == 2:
            return self._known_product(op, known.array)
        return self._node("BATCH_MATMUL", op, self.tensor(left), self.tensor(right))

    def _vecmat(self, op: Operation) -> int:
        (left, right), graph = op.inputs, self._graph
        known = self._held.get(right, right)
        if isinstance(known, Constant):
            return self._known_product(op, known.array.reshape(left.size, -1))
        row, matrix = graph.reshaped(self.tensor(left), (1, left.size)), self.tensor(right)
        columns = max(1, op.output.size)
        product = graph.node(
            "BATCH_MATMUL", row, graph.reshaped(matrix, (left.size, columns)), shape=(1, columns), dtype=op.output.dtype
        )
        return graph.reshaped(product, op.output.shape)

    def _known_product(self, op: Operation, matrix: np.ndarray) -> int:
        """A product with a known matrix, which LiteRT holds with its columns as rows."""
        graph, source = self._graph, self.tensor(op.inputs[0])
        columns = matrix.shape[1]
        # Whole numbers stand for themselves times one: their scales are in the other factor.
        scale = np.ones(columns, np.float32) if matrix.dtype == np.int8 else None
        weights = graph.constant(np.ascontiguousarray(matrix.T), scale=scale)
        if matrix.dtype == np.float16:
            weights = graph.node("DEQUANTIZE", weights, shape=(columns, len(matrix)), dtype=np.float32)
        shape: Shape = (*op.inputs[0].shape[:-1], columns)
        product = graph.node("FULLY_CONNECTED", source, weights, shape=shape, dtype=op.output.dtype, keepNumDims=True)
        return graph.reshaped(product, op.output.shape)

    def _reduction(self, op: Operation) -> int:
        dtype, source = op.inputs[0].dtype, self.tensor(op.inputs[0])
        kind, axes = _REDUCTIONS[op.kind], self._whole(op.settings["axes"])
        if dtype == np.bool_:
            return self._node(kind.replace("MAX", "ANY").replace("MIN", "ALL"), op, source, axes)
        source = self._graph.computable(source)
        reduced = self._graph.node(kind, source, axes, shape=op.output.shape, dtype=self._graph.tensors[source].dtype)
        return self._graph.as_it_was(reduced, op.output.dtype)

    def _argmax(self, op: Operation) -> int:
        source = self._graph.computable(self.tensor(op.inputs[0]))
        place = self._graph.node("ARG_MAX", source, self._whole(op.settings["axis"]), shape=op.output.shape, dtype=np.int32)
        return place if op.output.dtype == np.int32 else self._graph.cast(place, op.output.dtype)

    def _cumsum(self, op: Operation) -> int:
        source = self._graph.computable(self.tensor(op.inputs[0]))
        dtype = self._graph.tensors[source].dtype
        summed = self._graph.node("CUMSUM", source, self._whole(op.settings["axis"]), shape=op.output.shape, dtype=dtype)
        return self._graph.as_it_was(summed, op.output.dtype)

    def _take(self, op: Operation) -> int:
        table, numbers = op.inputs
        graph, place = self._graph, self._graph.computable(self.tensor(numbers))
        dtype = graph.tensors[place].dtype
        for kind, bound in (("MAXIMUM", 0), ("MINIMUM", table.shape[0] - 1)):
            place = graph.node(kind, place, graph.constant(bound, dtype), shape=numbers.shape, dtype=dtype)
        return self._node("GATHER", op, self.tensor(table), place, axis=0)
