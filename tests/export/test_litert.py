"""Agents as LiteRT graphs: every operation, whole agents against JAX, the contract of the graph, and what is refused."""

import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from export.agents import QUICK, exported, untrained
from export.litert_function import litert_function
from export.operations import CURVES, WORDS
from export.test_spaces import ACTIONS, BOX, OBSERVATIONS, SMALL
from programs.functions import FUNCTIONS, expected
from quickstudy.export import parity
from quickstudy.export.export import LARGEST_DEVIATION, export_bundle
from quickstudy.export.litert_form import without_litert_form
from quickstudy.programs.merging import merged
from quickstudy.programs.program import Constant, Operation, Program, Value
from quickstudy.programs.tracing import trace
from quickstudy.protocol.errors import NoProgramError

pytestmark = pytest.mark.suites

KINDS = ["bandit-n10-k10", "half-cheetah-rl2", "mdp-n10", "grid-navigation-varibad"]
"""Bundles of four kinds: GRU bandit, continuous control, associative MDP, belief agent."""
OTHERS = ["cart-pole-hybrid"]
WRITTEN = {name: one for name, one in FUNCTIONS.items() if name not in ("elementwise", "draws")}


@pytest.mark.parametrize("name", WRITTEN)
def test_in_litert_they_compute_what_jax_computes(name):
    function, inputs = WRITTEN[name]
    agrees(function, inputs)


def test_curves_and_words_too():
    """What LiteRT has no form for is left out: `erf`, and `and`, `or`, `xor` of bits."""
    curves, inputs = CURVES
    agrees(without(curves, "errors"), inputs)
    words, inputs = WORDS
    agrees(without(words, "bits"), inputs)


def without(function, name):
    """The function without one of its outputs."""
    return lambda **inputs: {other: value for other, value in function(**inputs).items() if other != name}


def agrees(function, inputs):
    results = litert_function(merged(trace(function, inputs)))(**inputs)
    for output, value in expected(function, inputs).items():
        assert results[output].dtype == value.dtype, output
        np.testing.assert_allclose(results[output], value, rtol=5e-6, atol=5e-6, err_msg=output)


def test_a_spread_array_is_written_where_its_reader_needs_the_whole():
    """A reshape does not spread by itself, so LiteRT must do it."""
    agrees(lambda x: {"spread": jnp.broadcast_to(x[:, None], (3, 2)).reshape(6) + 1}, {"x": np.asarray([1, 2, 3], np.float32)})


def test_a_product_that_was_worked_by_hand():
    """[1, 2] [[1, -1], [0.5, 2]] = [2, 3], of which 1 is the remainder of 3 by 2, and -1 that of -3."""
    matrix = jnp.asarray([[1.0, -1.0], [0.5, 2.0]])

    def worked(x):
        product = x @ matrix
        return {"product": product, "left": jnp.fmod(product * jnp.asarray([1.0, -1.0]), 2.0)}

    inputs = {"x": np.asarray([1, 2], np.float32)}
    results = litert_function(trace(worked, inputs))(**inputs)
    np.testing.assert_array_equal(results["product"], [2, 3])
    np.testing.assert_array_equal(results["left"], [0, -1])


def test_operations_without_a_form_are_named():
    missing = {name: without_litert_form(trace(*FUNCTIONS[name])) for name in ("elementwise", "draws", "gates")}
    assert missing["elementwise"] == ("erf", "erfc", "erf_inv")
    assert missing["gates"] == ()
    assert {"fold_in", "random_bits", "bits"} <= set(missing["draws"])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A bandit agent in LiteRT."""
    return exported(QUICK, "litert", tmp_path_factory.mktemp("litert"), check=1000)


def test_the_graph_repeats_the_agent(quick):
    assert quick.parity.steps == 1000
    assert quick.parity.of_policy <= LARGEST_DEVIATION
    assert quick.sizes.keys() == {"agent.tflite", "agent.py", "contract.json", "vectors.npz"}
    assert json.loads((quick.folder / "report.json").read_text())["target"] == "litert"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, *OTHERS])
def test_bundles_of_every_kind_repeat_their_agents_in_litert(name, tmp_path):
    result = exported(name, "litert", tmp_path, check=10_000)
    assert result.parity.steps == 10_000
    assert result.parity.of_policy <= LARGEST_DEVIATION


SPACES = [
    *((f"acts in {name}", (BOX, space)) for name, space in ACTIONS.items()),
    *((f"observes {name}", (space, ACTIONS["choices of several sizes"])) for name, space in OBSERVATIONS.items()),
]
QUICK_SPACES = {"acts in one number without an axis", "observes images"}


@pytest.mark.parametrize(
    "spaces",
    [pytest.param(pair, id=name, marks=() if name in QUICK_SPACES else pytest.mark.slow) for name, pair in SPACES],
)
def test_an_agent_of_every_space_repeats_itself_in_litert(spaces, tmp_path):
    result = export_bundle(untrained(*spaces, **SMALL), to="litert", folder=tmp_path, name="small", check=300)
    assert result.parity.of_policy <= LARGEST_DEVIATION


def test_a_lifetime_runs_on_the_graph_alone(quick):
    """As another language would run it: by the names of the signature, zeros at the start, then every output goes back in."""
    contract = json.loads((quick.folder / "contract.json").read_text())
    interpreter = Interpreter(model_path=str(quick.folder / "agent.tflite"))
    step = interpreter.get_signature_runner("step")
    ports = contract["graph"]["inputs"]
    assert set(step.get_input_details()) == {one["name"] for one in ports}
    names = [one["name"] for one in contract["graph"]["outputs"]]
    assert set(step.get_output_details()) == set(names)
    with np.load(quick.folder / "vectors.npz") as file:
        steps = {name: file[name] for name in file.files}
    state = {one["name"]: np.zeros(one["shape"], one["dtype"]) for one in ports if one["name"].startswith("state.")}
    for row in range(200):
        given = {name: steps[f"feedback.{name}"][row] for name in contract["feedback"]}
        given |= {"begins": steps["begins"][row], "observation": steps["observation"][row]}
        results = step(**{one["name"]: np.asarray((state | given)[one["name"]], one["dtype"]) for one in ports})
        state = {f"state.{name.removeprefix('next_state.')}": results[name] for name in names if name.startswith("next")}
        np.testing.assert_allclose(results["policy.logits"], steps["decision.policy.logits"][row], rtol=1e-4, atol=1e-4)


def model_in(folder):
    """The file as a record of the schema."""
    return schema.ModelT.InitFromPackedBuf((folder / "agent.tflite").read_bytes())


def test_the_file_is_plain_litert(quick):
    content, model = (quick.folder / "agent.tflite").read_bytes(), model_in(quick.folder)
    assert content[4:8] == b"TFL3"
    assert model.version == 3
    assert all(code.customCode is None for code in model.operatorCodes)
    digest = json.loads((quick.folder / "contract.json").read_text())["bundle"]["parameters_sha256"]
    assert digest in model.description.decode()
    weights = [buffer.data.tobytes() for buffer in model.buffers if buffer.data is not None]
    assert all(content.index(numbers) % 16 == 0 for numbers in weights if len(numbers) > 1000)


def test_it_is_written_the_same_every_time(quick, tmp_path):
    again = exported(QUICK, "litert", tmp_path, check=0)
    assert (again.folder / "agent.tflite").read_bytes() == (quick.folder / "agent.tflite").read_bytes()


def test_its_python_file_runs_where_jax_is_not(quick):
    code = (
        "import sys, runpy; sys.modules['jax'] = sys.modules['quickstudy'] = sys.modules['tensorflow'] = None; "
        f"sys.argv = [{str(quick.folder / 'agent.py')!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "policy.logits: largest deviation" in done.stdout


def test_an_altered_weight_is_found_in_litert(quick, tmp_path):
    content = bytearray((quick.folder / "agent.tflite").read_bytes())
    largest = max((one.data for one in model_in(quick.folder).buffers if one.data is not None), key=len).tobytes()
    place = content.index(largest)
    content[place : place + len(largest)] = (np.frombuffer(largest, np.float32) * np.float32(1.01)).tobytes()
    for file in ("agent.py", "contract.json", "vectors.npz"):
        (tmp_path / file).write_bytes((quick.folder / file).read_bytes())
    (tmp_path / "agent.tflite").write_bytes(content)
    done = subprocess.run([sys.executable, str(tmp_path / "agent.py")], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr


def test_what_the_contract_refuses_is_refused_by_the_python_file(quick):
    module = parity._module(quick.folder / "agent.py")
    agent = module.open_agent(quick.folder)
    with pytest.raises(ValueError, match="nothing was decided yet"):
        agent.step(agent.begin(), module.Feedback(0, 1.0, 0), 0)
    state, decision = agent.step(agent.begin(), None, 0)
    assert decision["policy.logits"].shape == (5,)
    with pytest.raises(ValueError, match="feedback is missing: only the first step"):
        agent.step(state, None, 0)
    with pytest.raises(ValueError, match="action must be a whole number from 0 to 4"):
        agent.step(state, module.Feedback(5, 1.0, 0), 0)
    with pytest.raises(ValueError, match="no part of the memory is called luck"):
        agent.begin(luck=[1, 2])


def test_a_step_that_is_not_finite_changes_no_memory_in_litert(quick):
    module = parity._module(quick.folder / "agent.py")
    agent = module.open_agent(quick.folder)
    state, _ = agent.step(agent.begin(), None, 0)
    after, decision = agent.step(state, module.Feedback(1, float("nan"), 0), 0)
    healthy, _ = agent.step(state, module.Feedback(1, 1.0, 0), 0)
    assert decision["nonfinite_steps.steps"] == 1
    np.testing.assert_array_equal(state.memory[0], after.memory[0])
    assert not np.array_equal(state.memory[0], healthy.memory[0])


@pytest.fixture(scope="module")
def in_eight_bits(tmp_path_factory):
    """The bandit agent with products of whole numbers."""
    return exported(QUICK, "litert", tmp_path_factory.mktemp("int8"), quantise="int8", check=300)


def test_in_eight_bits_it_differs_by_no_more_than_two_roundings(in_eight_bits):
    assert LARGEST_DEVIATION < in_eight_bits.parity.of_policy <= 2 * in_eight_bits.parity.of_trained < 0.5
    assert in_eight_bits.repeats_the_agent
    worse = dataclasses.replace(in_eight_bits.parity, of_trained=in_eight_bits.parity.of_policy / 3)
    assert not dataclasses.replace(in_eight_bits, parity=worse).repeats_the_agent


def test_in_eight_bits_products_are_of_whole_numbers(in_eight_bits):
    """Every product takes a matrix of 8 bits as it is. The scales are all one, since they are in the other factor."""
    model = model_in(in_eight_bits.folder)
    part, kinds = model.subgraphs[0], [code.builtinCode for code in model.operatorCodes]
    products = [one for one in part.operators if kinds[one.opcodeIndex] == schema.BuiltinOperator.FULLY_CONNECTED]
    matrices = [part.tensors[one.inputs[1]] for one in products]
    assert len(matrices) == 4
    assert {one.type for one in matrices} == {schema.TensorType.INT8}
    assert all((one.quantization.scale == 1).all() and len(one.quantization.scale) == one.shape[0] for one in matrices)
    said = json.loads((in_eight_bits.folder / "contract.json").read_text())["weights"]
    assert said["matrices"] == "int8"
    assert "rounded to 8 bits too" in said["says"]
    done = subprocess.run([sys.executable, str(in_eight_bits.folder / "agent.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_product_in_eight_bits_that_was_worked_by_hand():
    """[1, -1] are 127 and -127 of 127 steps. [[127, 1], [27, -2]] then gives [100, 3]."""
    matrix = Constant((2, 2), np.dtype(np.int8), np.asarray([[127, 1], [27, -2]], np.int8))
    x, wide = Value((2,), np.dtype(np.float32)), Value((2, 2), np.dtype(np.float32))
    product = Value((2,), np.dtype(np.float32))
    operations = (Operation("cast", (matrix,), wide, {}), Operation("vecmat", (x, wide), product, {}))
    program = Program(inputs={"x": x}, operations=operations, outputs={"product": product})
    result = litert_function(program)(x=np.asarray([1, -1], np.float32))["product"]
    np.testing.assert_allclose(result, [100, 3], rtol=0.01)


def test_an_agent_with_an_operation_that_litert_lacks_is_refused_with_the_targets_that_have_it(tmp_path):
    said = r"grid-navigation-pearl .*act of the agent uses .*no form in LiteRT: .*random_bits.*targets can write it: numpy, c\."
    with pytest.raises(NoProgramError, match=said) as raised:
        exported("grid-navigation-pearl", "litert", tmp_path)
    assert "\n" not in str(raised.value)
    assert "random_bits" in raised.value.part
    assert not any(tmp_path.iterdir())
