"""Programs whose matrices are held in fewer bits.

    x W      becomes      (x · s) Q        with   W[k, :] ≈ s[k] Q[k, :],   Q of 8 bits,   s[k] = largest |W[k, :]| / 127
    x W      becomes      x H              with   W ≈ H,                    H of 16 bits

Only known matrices that a vector or a matrix is multiplied with are held so. They are nearly all of an agent's numbers. What
is added, and what is computed, stays in 32 bits: memory adds up over a lifetime, and its rounding would add up with it.
A row is what one input is multiplied with, so inputs of different sizes, and the bias, each have their own scale.
"""

import dataclasses
from typing import Literal

import numpy as np

from quickstudy.programs.program import Constant, Operation, Program, Value

Quantised = Literal["int8", "fp16"]
_LARGEST_INT8 = 127
_LARGEST_FP16 = float(np.finfo(np.float16).max)


def quantised(program: Program, numbers: Quantised) -> Program:
    """The same program with its matrices in fewer bits.

    Args:
      program: of 32-bit numbers.
      numbers: `"int8"`, whole numbers of 8 bits with a scale for each row, or `"fp16"`, numbers of 16 bits with a fraction. A
        matrix with numbers beyond the range of 16 bits stays as it is.
    """
    operations: list[Operation] = []
    made: dict[Value, tuple[Value, Constant | None]] = {}
    for op in program.operations:
        matrix = op.inputs[1] if op.kind in ("vecmat", "matmul") else None
        if not isinstance(matrix, Constant) or len(matrix.shape) != 2 or not _fits(matrix, numbers):
            operations.append(op)
            continue
        if matrix not in made:
            few, scale = _in_few_bits(matrix.array, numbers)
            cast = Operation("cast", (_constant(few),), Value(matrix.shape, matrix.dtype), {})
            operations.append(cast)
            made[matrix] = cast.output, None if scale is None else _constant(scale)
        weights, scales = made[matrix]
        factor = op.inputs[0] if scales is None else _scaled(op.inputs[0], scales, operations)
        operations.append(dataclasses.replace(op, inputs=(factor, weights)))
    return Program(inputs=program.inputs, operations=tuple(operations), outputs=program.outputs)


def _fits(matrix: Constant, numbers: Quantised) -> bool:
    return numbers == "int8" or bool((np.abs(matrix.array) <= _LARGEST_FP16).all())


def _in_few_bits(matrix: np.ndarray, numbers: Quantised) -> tuple[np.ndarray, np.ndarray | None]:
    """The matrix in few bits, and the scale of each row if there are scales."""
    if numbers == "fp16":
        return matrix.astype(np.float16), None
    largest = np.abs(matrix).max(axis=1)
    scale = (np.where(largest > 0, largest, 1) / _LARGEST_INT8).astype(np.float32)
    return np.rint(matrix / scale[:, None]).clip(-_LARGEST_INT8, _LARGEST_INT8).astype(np.int8), scale


def _scaled(factor: Value, scales: Constant, operations: list[Operation]) -> Value:
    """What a matrix is multiplied with, each number times the scale of its row."""
    spread: Value = scales
    if len(factor.shape) > 1:
        rows = Operation("broadcast", (scales,), Value(factor.shape, scales.dtype), {"axes": (len(factor.shape) - 1,)})
        operations.append(rows)
        spread = rows.output
    product = Operation("mul", (factor, spread), Value(factor.shape, factor.dtype), {})
    operations.append(product)
    return product.output


def _constant(array: np.ndarray) -> Constant:
    return Constant(array.shape, array.dtype, array)
