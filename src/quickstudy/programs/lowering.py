"""Programs with fewer kinds of operations, for runtimes that lack some: an operation is written with simpler ones.

log1p x       x (log t) / (t - 1)    with t = 1 + x, and x where t is 1
expm1 x       2 t / (1 - t)          with t = tanh(x / 2) where |x| is small, exp(x) - 1 elsewhere
is_finite x   |x| < ∞
cummax        the largest of each place and the one before it, then of two and the two before them, and so on
"""

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

from quickstudy.programs.builder import Builder
from quickstudy.programs.program import Operation, Program, Value, needed

_CLOSE = 0.25
"""Below this, the series of log1p is exact to 2e-8 of the result. Above it, the rounding of 1 + x costs less than 3e-7. Some
runtimes compute logarithms of numbers close to one to as many places as one has, which leaves few digits of the result."""
_FEW = 0.5
"""Below this, e to the power x minus 1 is not computed by subtraction, which would leave few digits."""


def lowered(program: Program, kinds: Collection[str]) -> Program:
    """The same program without some kinds of operations.

    Args:
      program: any.
      kinds: that are written with others; of `LOWERED`.
    """
    builder, replaced = Builder(), dict[Value, Value]()
    for op in program.operations:
        inputs = tuple(replaced.get(value, value) for value in op.inputs)
        if op.kind in kinds:
            replaced[op.output] = LOWERED[op.kind](builder, dataclasses.replace(op, inputs=inputs))
        else:
            builder.definitions[op.output] = dataclasses.replace(op, inputs=inputs)
    outputs = {name: replaced.get(value, value) for name, value in program.outputs.items()}
    return Program(inputs=program.inputs, operations=needed(builder.definitions, outputs), outputs=outputs)


def _log1p(builder: Builder, op: Operation) -> Value:
    (x,), apply = op.inputs, builder.elementwise
    number = lambda value: builder.constant(np.asarray(value, op.output.dtype))  # noqa: E731
    z = apply("div", x, apply("add", x, number(2)))
    square = apply("mul", z, z)
    series: Value = number(1 / 7)
    for term in (1 / 5, 1 / 3, 1):
        series = apply("add", apply("mul", square, series), number(term))
    near = apply("mul", apply("add", z, z), series)
    far = apply("log", apply("add", x, number(1)))
    return apply("select", apply("lt", apply("abs", x), number(_CLOSE)), near, far)


def _expm1(builder: Builder, op: Operation) -> Value:
    (x,), apply = op.inputs, builder.elementwise
    number = lambda value: builder.constant(np.asarray(value, op.output.dtype))  # noqa: E731
    half = apply("tanh", apply("mul", x, number(0.5)))
    near = apply("div", apply("add", half, half), apply("sub", number(1), half))
    far = apply("sub", apply("exp", x), number(1))
    return apply("select", apply("lt", apply("abs", x), number(_FEW)), near, far)


def _is_finite(builder: Builder, op: Operation) -> Value:
    (x,) = op.inputs
    return builder.elementwise("lt", builder.elementwise("abs", x), builder.constant(np.asarray(np.inf, x.dtype)))


def _cummax(builder: Builder, op: Operation) -> Value:
    (running,), axis, shape, dtype = op.inputs, op.settings["axis"], op.output.shape, op.output.dtype
    lowest, by = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min, 1
    while by < shape[axis]:
        cut = tuple((0, length - by if place == axis else length, 1) for place, length in enumerate(shape))
        first = builder.constant(
            np.full([by if place == axis else length for place, length in enumerate(shape)], lowest, dtype)
        )
        sizes = (by, shape[axis] - by)
        earlier = builder.apply(
            "concatenate", first, builder.slice(running, cut), shape=shape, dtype=dtype, axis=axis, sizes=sizes
        )
        running = builder.elementwise("max", running, earlier)
        by *= 2
    return running


LOWERED: dict[str, Callable[[Builder, Operation], Value]] = {
    "log1p": _log1p,
    "expm1": _expm1,
    "is_finite": _is_finite,
    "cummax": _cummax,
}
"""From a kind of operation to a function that writes one with simpler operations."""
