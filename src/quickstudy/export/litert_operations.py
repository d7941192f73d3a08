"""The elementwise operations of a program as operators of LiteRT."""

import numpy as np

from quickstudy.export.litert_graph import LiteRTGraph
from quickstudy.programs.lowering import LOWERED
from quickstudy.programs.program import OTHERS, Operation

_NODES = {
    "neg": "NEG",
    "exp": "EXP",
    "log": "LOG",
    "tanh": "TANH",
    "logistic": "LOGISTIC",
    "sqrt": "SQRT",
    "rsqrt": "RSQRT",
    "abs": "ABS",
    "sign": "SIGN",
    "floor": "FLOOR",
    "cos": "COS",
    "sin": "SIN",
    "add": "ADD",
    "sub": "SUB",
    "mul": "MUL",
    "div": "DIV",
    "max": "MAXIMUM",
    "min": "MINIMUM",
    "pow": "POW",
    "eq": "EQUAL",
    "ne": "NOT_EQUAL",
    "lt": "LESS",
    "le": "LESS_EQUAL",
    "gt": "GREATER",
    "ge": "GREATER_EQUAL",
}
_LOGIC = {"and": "LOGICAL_AND", "or": "LOGICAL_OR", "not": "LOGICAL_NOT", "xor": "NOT_EQUAL"}
_ON_TRUTH = frozenset(("eq", "ne"))
_SEVERAL = frozenset(("rem", "cast", "select"))
_NOT_HERE = frozenset(("random_bits", "fold_in"))

_WRITABLE = frozenset((*_NODES, *_LOGIC, *_SEVERAL, *LOWERED, *(OTHERS - _NOT_HERE)))


def has_litert_form(op: Operation) -> bool:
    """Whether LiteRT has a form for an operation. It has none for random bits of a key, nor for logic on bits."""
    return op.kind in _WRITABLE and (op.kind not in _LOGIC or op.output.dtype == np.bool_)


def elementwise_node(graph: LiteRTGraph, op: Operation, operands: list[int]) -> int:
    """The output of an elementwise operation.

    Args:
      graph: that the operators go to.
      op: that has a form in LiteRT.
      operands: its inputs in the graph.
    """
    kind, dtype, made, shape = op.kind, op.inputs[0].dtype, op.output.dtype, op.output.shape
    if kind == "cast":
        return graph.cast(operands[0], made)
    if kind == "select":
        condition, *choices = operands
        chosen, other = map(graph.computable, choices)
        return graph.as_it_was(
            graph.node("SELECT_V2", condition, chosen, other, shape=shape, dtype=graph.tensors[chosen].dtype), made
        )
    if kind in _LOGIC:
        return graph.node(_LOGIC[kind], *operands, shape=shape, dtype=made)
    if dtype == np.bool_ and kind not in _ON_TRUTH:
        # Truth values are compared as numbers.
        operands = [graph.cast(one, np.int32) for one in operands]
    operands = [graph.computable(one) for one in operands]
    result_type = made if made == np.bool_ else graph.tensors[operands[0]].dtype
    if kind == "rem":
        return graph.as_it_was(_remainder(graph, operands, shape, result_type), made)
    result = graph.node(_NODES[kind], *operands, shape=shape, dtype=result_type)
    return result if made == np.bool_ else graph.as_it_was(result, made)


def _remainder(graph: LiteRTGraph, operands: list[int], shape: tuple[int, ...], dtype: np.dtype) -> int:
    """The remainder with the sign of the first number; LiteRT's has the sign of the second."""
    sizes = [graph.node("ABS", one, shape=graph.tensors[one].shape, dtype=dtype) for one in operands]
    left = graph.node("FLOOR_MOD", *sizes, shape=shape, dtype=dtype)
    zero = graph.constant(0, dtype)
    below = graph.node("LESS", operands[0], zero, shape=graph.tensors[operands[0]].shape, dtype=np.bool_)
    return graph.node("SELECT_V2", below, graph.node("NEG", left, shape=shape, dtype=dtype), left, shape=shape, dtype=dtype)
