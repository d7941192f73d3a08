"""Broadcasts of a program in graphs whose runtimes broadcast as NumPy does: by axes of length one."""

from collections.abc import Mapping

from quickstudy.programs.program import Operation, Shape, Value


def spread_by_itself(op: Operation, spread: Mapping[Value, Operation]) -> bool:
    """Whether the runtime gives an elementwise operation its output's shape, if no broadcast that it reads is written out.

    Args:
      op: elementwise.
      spread: broadcasts by their outputs.
    """
    covered: set[int] = set()
    for value in op.inputs:
        if value in spread:
            covered.update(spread[value].settings["axes"])
        elif value.shape:
            covered.update(range(len(value.shape)))
    return covered == set(range(len(op.output.shape)))


def shape_beside(op: Operation) -> Shape:
    """The shape of the input of a broadcast that the runtime broadcasts to its output's, without leading axes of length one."""
    axes, shape = op.settings["axes"], op.output.shape
    if not axes:
        return ()
    return tuple(shape[axis] if axis in axes else 1 for axis in range(min(axes), len(shape)))
