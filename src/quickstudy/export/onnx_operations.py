"""The elementwise operations of a program as nodes of ONNX."""

import numpy as np

from quickstudy.export.onnx_graph import OnnxGraph
from quickstudy.programs.lowering import LOWERED
from quickstudy.programs.program import OTHERS, Operation

_NODES = {
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "cos": "Cos",
    "sin": "Sin",
    "erf": "Erf",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
}
_LOGIC = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}
_BITS = {"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor", "not": "BitwiseNot"}
_SEVERAL = frozenset(("ne", "rsqrt", "rem", "cast", "select"))
_NOT_HERE = frozenset(("random_bits", "fold_in"))

WRITABLE = frozenset((*_NODES, *_LOGIC, *_SEVERAL, *LOWERED, *(OTHERS - _NOT_HERE)))
"""Operations of programs that have a form in ONNX. Random bits of a key have none: ONNX does not add words of 32 bits that wrap
around, and cannot read bits as another type."""


def elementwise_node(graph: OnnxGraph, op: Operation, operands: list[str]) -> str:
    """The output of an elementwise operation.

    Args:
      graph: that the nodes go to.
      op: of a kind in `WRITABLE`.
      operands: names of its inputs.
    """
    kind, dtype = op.kind, op.inputs[0].dtype
    if kind == "cast":
        return graph.cast(operands[0], op.output.dtype)
    if kind == "select":
        condition, chosen, other = operands
        return graph.select(condition, chosen, other, op.output.dtype)
    if kind in _LOGIC:
        return graph.node((_LOGIC if dtype == np.bool_ else _BITS)[kind], *operands)
    if dtype == np.bool_ and kind not in ("eq", "ne"):
        # Truth values are compared as numbers.
        operands, dtype = [graph.cast(name, np.int32) for name in operands], np.dtype(np.int32)
    operands = [graph.computable(name, dtype) for name in operands]
    result = _computed(graph, kind, operands)
    return result if op.output.dtype == np.bool_ else graph.as_it_was(result, op.output.dtype)


def _computed(graph: OnnxGraph, kind: str, operands: list[str]) -> str:
    node = graph.node
    if kind in _NODES:
        return node(_NODES[kind], *operands)
    if kind == "ne":
        return node("Not", node("Equal", *operands))
    if kind == "rsqrt":
        return node("Reciprocal", node("Sqrt", *operands))
    if kind == "rem":
        return node("Mod", *operands, fmod=1)
    raise NotImplementedError(kind)
