"""Products of arrays: how `dot_general` of JAX is written with products of matrices and vectors."""

from typing import Any

import numpy as np

from quickstudy.programs.axes_of_jax import axes_of, canonical
from quickstudy.programs.builder import Builder
from quickstudy.programs.program import Shape, Value


def product(builder: Builder, equation: Any, left: Value, right: Value) -> Value:
    """A product of two arrays over some of their axes, as products of matrices and vectors."""
    (contracted, batched), out = equation.params["dimension_numbers"], equation.outvars[0].aval
    values, free, shared, along = [left, right], [], [], []
    for number in range(2):
        over, batch = axes_of(equation, contracted[number], number), axes_of(equation, batched[number], number)
        free.append([axis for axis in range(len(values[number].shape)) if axis not in (*over, *batch)])
        along.append(over)
        shared.append(batch)
    batch_shape = tuple(left.shape[axis] for axis in shared[0])
    lengths = [tuple(values[n].shape[axis] for axis in free[n]) for n in range(2)]
    inner, batch_size = int(np.prod([left.shape[a] for a in along[0]] or [1])), int(np.prod(batch_shape or (1,)))
    rows, columns = (int(np.prod(length or (1,))) for length in lengths)
    first = builder.transpose(left, (*shared[0], *free[0], *along[0]))
    second = builder.transpose(right, (*shared[1], *along[1], *free[1]))
    shape = canonical(out)
    if inner == 1:
        return _outer(builder, first, second, (batch_shape, lengths[0], lengths[1]), out)
    if batch_size == 1 and (rows == 1 or columns == 1):
        if columns == 1 and rows != 1:
            first, second = builder.transpose(right, (*along[1],)), builder.transpose(left, (*along[0], *free[0]))
            rows, columns = columns, rows
        vector = builder.reshape(first, _short(inner))
        result = builder.apply(
            "vecmat", vector, builder.reshape(second, _short(inner, columns)), shape=_short(columns), dtype=out.dtype
        )
        return builder.reshape(result, shape)
    # A product needs both of its axes, so those of length one are kept here by keeping the other side whole.
    if rows == 1 or columns == 1:
        one, other = (first, second) if rows == 1 else (second, first)
        flat_one = builder.reshape(one, _short(batch_size, inner))
        if rows == 1:
            flat = builder.reshape(other, _short(batch_size, inner, columns))
            spread = builder.broadcast(flat_one, flat.shape, (0, 1))
            summed = builder.reduce("sum", builder.elementwise("mul", spread, flat), (1,))
        else:
            flat = builder.reshape(other, _short(batch_size, rows, inner))
            spread = builder.broadcast(flat_one, flat.shape, (0, 2))
            summed = builder.reduce("sum", builder.elementwise("mul", spread, flat), (2,))
        return builder.reshape(summed, shape)
    result = builder.apply(
        "matmul",
        builder.reshape(first, _short(batch_size, rows, inner)),
        builder.reshape(second, _short(batch_size, inner, columns)),
        shape=_short(batch_size, rows, columns),
        dtype=out.dtype,
    )
    return builder.reshape(result, shape)


def _outer(builder: Builder, first: Value, second: Value, lengths: tuple[Shape, Shape, Shape], out: Any) -> Value:
    """A product over nothing: every number of one side times every number of the other."""
    batch, rows, columns = lengths
    shape = (*batch, *rows, *columns)
    one = builder.broadcast(first, shape, tuple(range(len(batch) + len(rows))))
    places = (*range(len(batch)), *range(len(batch) + len(rows), len(shape)))
    other = builder.broadcast(second, shape, places)
    return builder.apply("mul", one, other, shape=shape, dtype=out.dtype)


def _short(*lengths: int) -> Shape:
    return tuple(length for length in lengths if length != 1)
