"""Products of a vector with a known matrix of 8 bits, in whole numbers.

    x Q   =   u (8192 C + F) Q      with   x ≈ u (8192 C + F),      u = largest |x| / 2²⁶,      C and F of 16 bits

The two products C Q and F Q are sums of whole numbers of 16 bits, which processors compute many at a time. Widening every
number of Q to 32 bits would take longer than the product. Nothing is lost: a float has no more than 24 bits.

The matrix is stored column after column. Each loop is a multiple of 32 long. So it reads the beginning of the next column too,
and multiplies it by zeros.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from quickstudy.programs.program import Constant, Operation, Program, needed

WHOLE_PRODUCT = "whole_product"
"""The operation: of a vector, and of a matrix as one long array. `inner`: how many numbers the vector has."""
_AT_ONCE, _COLUMNS_AT_ONCE = 32, 4
_LONGEST = 2000
"""Numbers of a vector: 127 * 8192 * 2000 is less than 2³¹."""


def in_whole_numbers(program: Program) -> Program:
    """The program with products of whole numbers where a vector is multiplied with a known matrix of 8 bits."""
    definitions = {op.output: op for op in program.operations}
    written = {op.output: _as_whole_product(op, definitions.get(op.inputs[-1])) for op in program.operations if op.inputs}
    written |= {op.output: op for op in program.operations if not op.inputs}
    return dataclasses.replace(program, operations=needed(written, program.outputs))


def _as_whole_product(op: Operation, factor: Operation | None) -> Operation:
    """The product that an operation is, in whole numbers; the operation itself if it is none."""
    if op.kind != "vecmat" or not op.output.shape or factor is None or factor.kind != "cast":
        return op
    matrix, vector = factor.inputs[0], op.inputs[0]
    if not isinstance(matrix, Constant) or matrix.dtype != np.int8 or vector.size > _LONGEST:
        return op
    columns = np.concatenate([matrix.array.T.ravel(), np.zeros(_AT_ONCE - 1, np.int8)])
    long = Constant(columns.shape, columns.dtype, columns)
    return Operation(WHOLE_PRODUCT, (vector, long), op.output, {"inner": vector.size})


def whole_product_lines(op: Operation, element: Callable[[str], str], matrix: str, target: str) -> tuple[list[str], list[str]]:
    """The statements of a product in C, and the arrays that they need.

    Args:
      op: the product.
      element: the number of the vector at a place, as an expression.
      matrix: name of the array of the matrix.
      target: name of the array that the product is written to.
    """
    inner, columns = op.settings["inner"], op.output.size
    coarse, fine, padded = f"{target}_coarse", f"{target}_fine", -(-inner // _AT_ONCE) * _AT_ONCE
    lines = [
        # As whole numbers, the bits of floats without a sign are in the order of the floats; compilers compare many at a time.
        f"union {{ float number; int32_t bits; }} {target}_one, {target}_largest = {{0.0f}};",
        f"for (int32_t k = 0; k < {inner}; k++) {{",
        f"    {target}_one.number = {element('k')};",
        f"    const int32_t bits = {target}_one.bits & 0x7fffffff;",
        f"    {target}_largest.bits = bits > {target}_largest.bits ? bits : {target}_largest.bits;",
        "}",
        # Divided by a power of two, and multiplied by it, nothing is rounded.
        f"const float {target}_unit = {target}_largest.number / 67108864.0f;",
        f"const float {target}_inverse = {target}_largest.number > 1e-30f ? 67108864.0f / {target}_largest.number : 0.0f;",
        # What is no number, or infinite, is no whole number either: then no product is a number.
        f"if (!({target}_largest.number < INFINITY)) {{",
        f"    for (int32_t i = 0; i < {columns}; i++) {target}[i] = NAN;",
        "} else {",
        f"for (int32_t k = 0; k < {inner}; k++) {{",
        f"    const int32_t whole = (int32_t)({element('k')} * {target}_inverse);",
        f"    {coarse}[k] = (int16_t)(whole / 8192);",
        f"    {fine}[k] = (int16_t)(whole % 8192);",
        "}",
    ]
    together = columns - columns % _COLUMNS_AT_ONCE
    for start, stop, number in ((0, together, _COLUMNS_AT_ONCE), (together, columns, 1)):
        if start < stop:
            lines += _columns(matrix, target, start=start, stop=stop, number=number, inner=inner, padded=padded)
    lines.append("}")
    return lines, [f"static int16_t {name}[{padded}];" for name in (coarse, fine)]


def _columns(matrix: str, target: str, *, start: int, stop: int, number: int, inner: int, padded: int) -> list[str]:
    """The loop over some columns, a number of them at once."""
    places = range(number)
    columns = [f"*const q{place} = {matrix} + (i + {place}) * {inner}" for place in places]
    sums = ", ".join(f"a{place} = 0, b{place} = 0" for place in places)
    return [
        f"for (int32_t i = {start}; i < {stop}; i += {number}) {{",
        f"    const int8_t {', '.join(columns)};",
        f"    int32_t {sums};",
        f"    for (int32_t k = 0; k < {padded}; k++) {{",
        f"        const int16_t coarse = {target}_coarse[k], fine = {target}_fine[k];",
        *(f"        a{at} += (int16_t)q{at}[k] * coarse; b{at} += (int16_t)q{at}[k] * fine;" for at in places),
        "    }",
        *(f"    {target}[i + {at}] = ((float)a{at} * 8192.0f + (float)b{at}) * {target}_unit;" for at in places),
        "}",
    ]
