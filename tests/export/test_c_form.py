"""Programs in C compute what the traced functions compute."""

import numpy as np
import pytest

from export.c_function import c_function, needs_gcc
from programs.functions import FUNCTIONS, expected
from quickstudy.export.c_operations import c_literal
from quickstudy.programs.merging import merged
from quickstudy.programs.tracing import trace
from quickstudy.protocol.errors import NoProgramError


@needs_gcc
@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_c_they_compute_what_jax_computes(name, tmp_path):
    function, inputs = FUNCTIONS[name]
    results = c_function(merged(trace(function, inputs)), tmp_path)(**inputs)
    for output, value in expected(function, inputs).items():
        np.testing.assert_allclose(results[output], value, rtol=5e-6, atol=5e-6, err_msg=output)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (np.float32(0.5), "0.5f"),
        (np.float32(-3), "(-3.0f)"),
        (np.float32(1e-20), "9.99999968e-21f"),
        (np.float32("-inf"), "(-INFINITY)"),
        (np.int32(-2), "(-2)"),
        (np.uint32(2**31), "2147483648u"),
        (np.bool_(True), "1"),
    ],
)
def test_numbers_are_written_as_c_reads_them(number, text):
    assert c_literal(np.asarray(number)) == text


def test_every_number_of_32_bits_is_read_back_as_it_was():
    drawn = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    finite = drawn[np.isfinite(drawn)]
    read = [np.float32(c_literal(np.asarray(number)).strip("()f")) for number in finite]
    np.testing.assert_array_equal(np.asarray(read, np.float32), finite)


def test_numbers_that_the_c_form_does_not_have_are_named(tmp_path):
    halves = np.ones(3, np.float16)
    program = merged(trace(lambda x: {"y": x + x}, {"x": halves}))
    with pytest.raises(NoProgramError, match=r"float16, and the C form has float32, .* another target"):
        c_function(program, tmp_path)
