"""Operations that are written with simpler ones give the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.programs.lowering import LOWERED, lowered
from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.tracing import trace

SIZES = np.concatenate([10.0 ** np.arange(-30, 3), [0.2499, 0.2501, 0.4999, 0.5001]]).astype(np.float32)
FUNCTIONS = {
    "log1p": (jnp.log1p, np.concatenate([SIZES, -SIZES[SIZES < 1], [np.inf]]).astype(np.float32), np.log1p),
    "expm1": (jnp.expm1, np.concatenate([SIZES[SIZES < 80], -SIZES]).astype(np.float32), np.expm1),
    "is_finite": (jnp.isfinite, np.asarray([0, -3, 3e38, np.inf, -np.inf, np.nan], np.float32), np.isfinite),
    "cummax": (jax.lax.cummax, np.asarray([-3, -5, 2, 1, 2, 7, 0], np.float32), np.maximum.accumulate),
}


def test_every_operation_that_can_be_lowered_is_tried():
    assert set(FUNCTIONS) == set(LOWERED)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_they_compute_what_they_stand_for(kind):
    function, x, reference = FUNCTIONS[kind]
    program = trace(lambda x: {"y": function(x)}, {"x": x})
    assert [op.kind for op in program.operations] == [kind]
    simpler = lowered(program, [kind])
    assert kind not in {op.kind for op in simpler.operations}
    with np.errstate(all="ignore"):
        (result,) = numpy_function(simpler)(x)
        np.testing.assert_allclose(result, reference(x.astype(np.float64)), rtol=5e-7)


def test_other_operations_stay_as_they_are():
    program = trace(lambda x: {"y": jnp.log1p(x) + jnp.expm1(x)}, {"x": np.ones(3, np.float32)})
    assert [op.kind for op in lowered(program, ()).operations] == ["log1p", "expm1", "add"]
    assert [op.kind for op in lowered(program, ["log1p"]).operations].count("expm1") == 1


def test_the_largest_so_far_of_a_table_along_each_axis():
    """[[1, 3], [2, 0]]: down the columns [[1, 3], [2, 3]], along the rows [[1, 3], [2, 2]]."""
    table = np.asarray([[1, 3], [2, 0]], np.int32)
    program = trace(lambda x: {"down": jax.lax.cummax(x, axis=0), "along": jax.lax.cummax(x, axis=1)}, {"x": table})
    results = dict(zip(program.outputs, numpy_function(lowered(program, ["cummax"]))(table), strict=True))
    np.testing.assert_array_equal(results["down"], [[1, 3], [2, 3]])
    np.testing.assert_array_equal(results["along"], [[1, 3], [2, 2]])
