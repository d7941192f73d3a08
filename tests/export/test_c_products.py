"""Products with matrices of 8 bits in C: whole numbers give what 32-bit numbers give."""

import numpy as np
import pytest

from export.c_function import c_function, needs_gcc
from quickstudy.export.c_products import WHOLE_PRODUCT, in_whole_numbers
from quickstudy.programs.program import Constant, Operation, Program, Value

FLOAT = np.dtype(np.float32)


def product(matrix):
    """A program that multiplies a vector with a matrix of 8 bits."""
    inner, columns = matrix.shape
    held, x = Constant(matrix.shape, matrix.dtype, matrix), Value((inner,), FLOAT)
    wide, result = Value(matrix.shape, FLOAT), Value((columns,), FLOAT)
    operations = (Operation("cast", (held,), wide, {}), Operation("vecmat", (x, wide), result, {}))
    return Program(inputs={"x": x}, operations=operations, outputs={"y": result})


@needs_gcc
def test_a_product_that_was_worked_by_hand(tmp_path):
    """1 · 100 - 0.5 · 2 = 99, 1 · (-127) - 0.5 · 127 = -190.5, and so on."""
    matrix = np.asarray([[100, -127, 0, 1, 7], [2, 127, 3, 0, -7]], np.int8)
    program = in_whole_numbers(product(matrix))
    assert [op.kind for op in program.operations] == [WHOLE_PRODUCT]
    y = c_function(program, tmp_path)(x=np.asarray([1, -0.5], np.float32))["y"]
    np.testing.assert_array_equal(y, np.asarray([99, -190.5, -1.5, 1, 10.5], np.float32))


@needs_gcc
@pytest.mark.parametrize(("inner", "columns"), [(31, 3), (32, 4), (33, 9), (2000, 2)])
def test_products_of_any_size_are_as_exact_as_those_of_floats(inner, columns, tmp_path):
    generator = np.random.default_rng(inner)
    matrix = generator.integers(-127, 128, (inner, columns)).astype(np.int8)
    matrix[:, 0] = 127  # the largest sum that there can be
    call = c_function(in_whole_numbers(product(matrix)), tmp_path)
    for x in (generator.standard_normal(inner), np.full(inner, -3.7), np.zeros(inner), 1e25 * generator.standard_normal(inner)):
        x = x.astype(np.float32)
        exact = x.astype(np.float64) @ matrix.astype(np.float64)
        np.testing.assert_allclose(call(x=x)["y"], exact, rtol=1e-6, atol=1e-6 * float(np.abs(x).max()) * inner)


@needs_gcc
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_products_of_numbers_that_are_not_finite_are_no_numbers(wrong, tmp_path):
    call = c_function(in_whole_numbers(product(np.ones((3, 2), np.int8))), tmp_path)
    assert np.isnan(call(x=np.asarray([1, wrong, 1], np.float32))["y"]).all()


def test_longer_vectors_stay_products_of_floats():
    program = product(np.ones((2001, 2), np.int8))
    assert [op.kind for op in in_whole_numbers(program).operations] == ["cast", "vecmat"]
