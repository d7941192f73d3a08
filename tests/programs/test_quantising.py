"""Matrices in fewer bits: numbers worked by hand, every form of a quantised program, and programs in JAX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.c_function import c_function, needs_gcc
from programs.functions import FUNCTIONS, expected, numbers
from quickstudy.programs.jax_form import jax_function
from quickstudy.programs.merging import merged
from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.program import Constant
from quickstudy.programs.quantising import quantised
from quickstudy.programs.tracing import trace

MATRIX = np.asarray([[1.0, -0.5, 0.26], [0.0, 0.0, 0.0], [-2.0, 200.0, 100.0]], np.float32)
"""Rows of different sizes, one of zeros."""


def product(x):
    return {"y": x @ MATRIX}


def held(program):
    """The known arrays of a program, by type."""
    return {constant.dtype.name: constant.array for constant in program.constants if constant.shape}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_jax_they_compute_what_the_traced_functions_compute(name):
    function, inputs = FUNCTIONS[name]
    program = merged(trace(function, inputs))
    given = {key: jnp.asarray(value).reshape(program.inputs[key].shape) for key, value in inputs.items()}
    results = jax.jit(jax_function(program))(**given)
    for output, value in expected(function, inputs).items():
        assert results[output].dtype == value.dtype, output
        np.testing.assert_allclose(results[output], value, rtol=3e-6, atol=3e-6, err_msg=output)


def test_each_row_has_its_own_scale():
    program = quantised(trace(product, {"x": numbers(3)}), "int8")
    arrays = held(program)
    np.testing.assert_array_equal(arrays["int8"], [[127, -64, 33], [0, 0, 0], [-1, 127, 64]])
    np.testing.assert_allclose(arrays["float32"], [1 / 127, 1 / 127, 200 / 127], rtol=1e-6)
    x = np.asarray([1.0, 5.0, 0.1], np.float32)
    (y,) = numpy_function(program)(x)
    np.testing.assert_allclose(y, [127 / 127 - 0.1 * 200 / 127, -64 / 127 + 20, 33 / 127 + 6400 / 635], rtol=1e-5)


def test_numbers_of_sixteen_bits_are_the_nearest_ones_and_larger_ones_stay():
    program = quantised(trace(product, {"x": numbers(3)}), "fp16")
    np.testing.assert_array_equal(held(program)["float16"], MATRIX.astype(np.float16))
    large = MATRIX * np.float32(1e3)
    program = quantised(trace(lambda x: {"y": x @ large}, {"x": numbers(3)}), "fp16")
    np.testing.assert_array_equal(held(program)["float32"], large)


def layers(x, rows):
    """A vector and rows times the same known matrix, and what is added."""
    return {"vector": jnp.tanh(x @ MATRIX + jnp.asarray([1.0, 2.0, 3.0])), "rows": rows @ MATRIX}


@pytest.mark.parametrize("kind", ["int8", "fp16"])
def test_a_quantised_program_multiplies_with_what_its_matrices_stand_for(kind):
    inputs = {"x": numbers(3), "rows": numbers(2, 3)}
    program = quantised(trace(layers, inputs), kind)
    found = dict(zip(program.outputs, numpy_function(program)(*inputs.values()), strict=True))
    scale = np.asarray([[1.0], [1.0], [200.0]], np.float32) / 127
    near = np.rint(MATRIX / scale) * scale if kind == "int8" else MATRIX.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(found["vector"], np.tanh(inputs["x"] @ near + [1, 2, 3]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["rows"], inputs["rows"] @ near, rtol=1e-5, atol=1e-4)
    results = jax.jit(jax_function(program))(**{name: jnp.asarray(array) for name, array in inputs.items()})
    for name, array in found.items():
        np.testing.assert_allclose(results[name], array, rtol=1e-5, atol=1e-4)
    assert not any(constant.dtype == np.float32 and len(constant.shape) == 2 for constant in program.constants)
    # Both products read one copy.
    assert sum(isinstance(op.inputs[0], Constant) and op.kind == "cast" for op in program.operations) == 1


@needs_gcc
def test_in_c_the_matrix_is_read_in_eight_bits(tmp_path):
    inputs = {"x": numbers(3), "rows": numbers(2, 3)}
    program = quantised(trace(layers, inputs), "int8")
    found = dict(zip(program.outputs, numpy_function(program)(*inputs.values()), strict=True))
    results = c_function(program, tmp_path)(**inputs)
    for name, array in found.items():
        np.testing.assert_allclose(results[name], array, rtol=1e-5, atol=1e-4)
    assert "static const int8_t" in (tmp_path / "f.c").read_text()


def test_what_is_not_multiplied_with_a_known_matrix_stays():
    function, inputs = FUNCTIONS["gates"]
    program = trace(function, inputs)
    same = quantised(dataclasses.replace(program, operations=tuple(op for op in program.operations if op.elementwise)), "int8")
    assert [op.kind for op in same.operations] == [op.kind for op in program.operations if op.elementwise]
