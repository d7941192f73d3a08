"""Programs compute what the traced functions compute, and no more than they need."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from programs.functions import FUNCTIONS, WEIGHT, expected, gates, numbers
from quickstudy.programs.builder import Builder
from quickstudy.programs.merging import merged
from quickstudy.programs.numpy_form import numpy_function, numpy_source
from quickstudy.programs.program import Constant, multiplications
from quickstudy.programs.tracing import named_leaves, trace


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_numpy_they_compute_what_jax_computes(name):
    function, inputs = FUNCTIONS[name]
    program = merged(trace(function, inputs))
    assert not program.unsupported
    given = [np.asarray(value) if np.ndim(value) else np.asarray(value).dtype.type(value) for value in inputs.values()]
    results = dict(zip(program.outputs, numpy_function(program)(*given), strict=True))
    for output, value in expected(function, inputs).items():
        assert results[output].dtype == value.dtype, output
        np.testing.assert_allclose(results[output], value, rtol=3e-6, atol=3e-6, err_msg=output)


def test_a_call_changes_nothing_that_it_was_given():
    program = trace(gates, FUNCTIONS["gates"][1])
    function, given = numpy_function(program), [numbers(6), numbers(6)]
    before = [array.copy() for array in given]
    first = [np.copy(result) for result in function(*given)]
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(next(iter(function(*given))), first[0])


def test_what_is_known_is_computed_beforehand():
    def function(x):
        scale = jnp.sqrt(jnp.asarray([4.0, 9.0])) @ jnp.ones((2, 1))
        return {"y": jnp.where(jnp.asarray(True), x * scale[0], x) + jnp.zeros(())}

    program = trace(function, {"x": np.float32(1)})
    (op,) = program.operations
    assert op.kind == "mul"
    (constant,) = program.constants
    assert constant.array == 5


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 1 + 0,
        lambda x: jnp.transpose(jnp.transpose(x.reshape(2, 3)), (1, 0)).reshape(6),
        lambda x: jnp.concatenate([x[:2], x[2:]])[0:6] if False else jnp.squeeze(x[None, :, None]),
        lambda x: jnp.split(jnp.concatenate([x, 2 * x]), 2)[0],
        lambda x: jnp.where(x.shape[0] > 3, x, 0.0),
        lambda x: x + 0.0 * jnp.exp(x),
    ],
)
def test_what_changes_nothing_is_left_out(function):
    program = trace(lambda x: {"y": function(x)}, {"x": numbers(6)})
    assert program.operations == ()
    assert program.outputs["y"] is program.inputs["x"]


def test_the_same_is_computed_once():
    program = trace(lambda x: {"y": jnp.exp(x) + 1, "z": jnp.exp(x) + 1}, {"x": numbers(3)})
    assert [op.kind for op in program.operations] == ["exp", "add"]
    assert program.outputs["y"] is program.outputs["z"]


def test_what_no_output_needs_is_left_out():
    program = trace(lambda x, y: {"z": x + 1, "w": y * 2} if False else {"z": x + 1}, {"x": numbers(3), "y": numbers(3)})
    assert len(program.operations) == 1


def test_gates_are_merged():
    program = trace(gates, FUNCTIONS["gates"][1])
    fewer = merged(program)
    kinds = lambda program: [op.kind for op in program.operations]  # noqa: E731
    assert kinds(program).count("logistic") == 1  # of six units: the function splits behind it
    separate = trace(_separate_gates, FUNCTIONS["gates"][1])
    assert kinds(separate).count("logistic") == 2
    assert kinds(merged(separate)).count("logistic") == 1
    assert len(fewer.operations) <= len(program.operations)


def _separate_gates(x, h):
    parts = zip(jnp.split(x @ WEIGHT, 3), jnp.split(h @ WEIGHT, 3), strict=True)
    reset, update, new = (one + other for one, other in parts)
    return {"h": jax.nn.sigmoid(reset) * new + jax.nn.sigmoid(update)}


def test_products_are_counted():
    program = trace(gates, FUNCTIONS["gates"][1])
    assert multiplications(program.operations) == 2 * 6 * 9


def test_an_operation_without_a_form_is_named_only_where_it_is_needed():
    def function(x):
        return {"sorted": jnp.sort(x), "sum": x.sum()}

    program = trace(function, {"x": numbers(4)})
    assert program.unsupported == ("sort",)
    with pytest.raises(NotImplementedError, match="sort"):
        numpy_source(program, "f", {})
    assert trace(lambda x: {"sum": function(x)["sum"]}, {"x": numbers(4)}).unsupported == ()


def test_a_form_without_a_rule_does_not_pass_for_an_operation_of_the_same_name():
    spread = lambda x: {"y": jax.lax.pad(x, jnp.float32(0), [(0, 0, 1)])}  # noqa: E731
    assert trace(spread, {"x": numbers(4)}).unsupported == ("pad of this form",)


def test_long_loops_are_named():
    program = trace(lambda x: {"y": jax.lax.fori_loop(0, 1000, lambda _, v: v * 0.5, x)}, {"x": np.float32(1)})
    assert program.unsupported == ("loop of 1000 turns",)


def test_outputs_say_what_they_depend_on():
    program = trace(lambda x, y: {"a": x + 1, "b": x * y}, {"x": numbers(2), "y": numbers(2)})
    assert program.depends_on("y") == {"b"}
    assert program.depends_on("x") == {"a", "b"}


def test_constants_have_no_axes_of_length_one():
    constant = Builder().constant(np.ones((1, 3, 1)))
    assert isinstance(constant, Constant)
    assert constant.shape == (3,)


def test_leaves_are_named_by_their_path():
    tree = {"a": (np.zeros(1), [np.zeros(2)])}
    assert {name: leaf.size for name, leaf in named_leaves(tree, root="m").items()} == {"m.a.0": 1, "m.a.1.0": 2}
    assert list(named_leaves(np.zeros(3), root="m")) == ["m"]
