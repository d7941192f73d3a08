"""Agents as ONNX graphs: every operation, whole agents against JAX, the contract of the graph, and what is refused."""

import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

import onnx
import onnxruntime

from export.agents import QUICK, exported, untrained
from export.onnx_function import onnx_function
from export.operations import CURVES, WORDS
from export.test_spaces import ACTIONS, BOX, OBSERVATIONS, SMALL
from programs.functions import FUNCTIONS, expected
from quickstudy.export import parity
from quickstudy.export.export import LARGEST_DEVIATION, export_bundle
from quickstudy.export.onnx_form import without_onnx_form
from quickstudy.programs.merging import merged
from quickstudy.programs.tracing import trace
from quickstudy.protocol.errors import NoProgramError

pytestmark = pytest.mark.suites

KINDS = ["bandit-n10-k10", "half-cheetah-rl2", "mdp-n10", "grid-navigation-varibad"]
"""Bundles of four kinds: GRU bandit, continuous control, associative MDP, belief agent."""
OTHERS = ["cart-pole-hybrid", "drifting-control-energy", "pendulum-rl2"]


MORE = {"curves": CURVES, "words": WORDS}
WRITTEN = {name: one for name, one in FUNCTIONS.items() if name not in ("elementwise", "draws")} | MORE


@pytest.mark.parametrize("name", WRITTEN)
def test_in_onnx_they_compute_what_jax_computes(name, tmp_path):
    function, inputs = WRITTEN[name]
    results = onnx_function(merged(trace(function, inputs)), tmp_path)(**inputs)
    for output, value in expected(function, inputs).items():
        assert results[output].dtype == value.dtype, output
        np.testing.assert_allclose(results[output], value, rtol=5e-6, atol=5e-6, err_msg=output)


def test_operations_without_a_form_are_named():
    missing = {name: without_onnx_form(trace(*FUNCTIONS[name])) for name in ("elementwise", "draws", "gates")}
    assert missing["elementwise"] == ("erfc", "erf_inv")
    assert missing["gates"] == ()
    assert {"fold_in", "random_bits", "bits"} <= set(missing["draws"])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A bandit agent in ONNX."""
    return exported(QUICK, "onnx", tmp_path_factory.mktemp("onnx"), check=1000)


def test_the_graph_repeats_the_agent(quick):
    assert quick.parity.steps == 1000
    assert quick.parity.of_policy <= LARGEST_DEVIATION
    assert quick.sizes.keys() == {"agent.onnx", "agent.py", "contract.json", "vectors.npz"}
    assert json.loads((quick.folder / "report.json").read_text())["target"] == "onnx"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, *OTHERS])
def test_bundles_of_every_kind_repeat_their_agents_in_onnx(name, tmp_path):
    result = exported(name, "onnx", tmp_path, check=10_000)
    assert result.parity.steps == 10_000
    assert result.parity.of_policy <= LARGEST_DEVIATION


SPACES = [
    *((f"acts in {name}", (BOX, space)) for name, space in ACTIONS.items()),
    *((f"observes {name}", (space, gymnasium.spaces.Discrete(2))) for name, space in OBSERVATIONS.items()),
]
QUICK_SPACES = {"acts in choices of several sizes", "acts in one number without an axis", "observes symbols", "observes images"}


@pytest.mark.parametrize(
    "spaces",
    [pytest.param(pair, id=name, marks=() if name in QUICK_SPACES else pytest.mark.slow) for name, pair in SPACES],
)
def test_an_agent_of_every_space_repeats_itself_in_onnx(spaces, tmp_path):
    result = export_bundle(untrained(*spaces, **SMALL), to="onnx", folder=tmp_path, name="small", check=300)
    assert result.parity.of_policy <= LARGEST_DEVIATION


def test_a_lifetime_runs_on_the_graph_alone(quick):
    """As another language would run it: zeros at the start, then every output goes back in."""
    contract = json.loads((quick.folder / "contract.json").read_text())
    session = onnxruntime.InferenceSession(str(quick.folder / "agent.onnx"), providers=["CPUExecutionProvider"])
    ports = contract["graph"]["inputs"]
    assert [one.name for one in session.get_inputs()] == [one["name"] for one in ports]
    assert [one.name for one in session.get_outputs()] == [one["name"] for one in contract["graph"]["outputs"]]
    with np.load(quick.folder / "vectors.npz") as file:
        steps = {name: file[name] for name in file.files}
    state = {one["name"]: np.zeros(one["shape"], one["dtype"]) for one in ports if one["name"].startswith("state.")}
    names = [one["name"] for one in contract["graph"]["outputs"]]
    for row in range(200):
        given = {name: steps[f"feedback.{name}"][row] for name in contract["feedback"]}
        given |= {"begins": steps["begins"][row], "observation": steps["observation"][row]}
        feeds = {one["name"]: np.asarray((state | given)[one["name"]], one["dtype"]) for one in ports}
        results = dict(zip(names, session.run(None, feeds), strict=True))
        state = {f"state.{name.removeprefix('next_state.')}": results[name] for name in names if name.startswith("next")}
        np.testing.assert_allclose(results["policy.logits"], steps["decision.policy.logits"][row], rtol=1e-4, atol=1e-4)


def test_the_file_is_plain_onnx(quick):
    model = onnx.load(quick.folder / "agent.onnx")
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert {one.domain for one in model.graph.node} == {""}
    assert (
        model.metadata_props[0].value == json.loads((quick.folder / "contract.json").read_text())["bundle"]["parameters_sha256"]
    )


def test_it_is_written_the_same_every_time(quick, tmp_path):
    again = exported(QUICK, "onnx", tmp_path, check=0)
    assert (again.folder / "agent.onnx").read_bytes() == (quick.folder / "agent.onnx").read_bytes()


def test_its_python_file_runs_where_jax_is_not(quick):
    code = (
        "import sys, runpy; sys.modules['jax'] = sys.modules['quickstudy'] = sys.modules['onnx'] = None; "
        f"sys.argv = [{str(quick.folder / 'agent.py')!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "policy.logits: largest deviation" in done.stdout


def test_an_altered_weight_is_found_in_onnx(quick, tmp_path):
    model = onnx.load(quick.folder / "agent.onnx")
    largest = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    altered = onnx.numpy_helper.to_array(largest) * np.float32(1.01)
    largest.CopyFrom(onnx.numpy_helper.from_array(altered, largest.name))
    for file in ("agent.py", "contract.json", "vectors.npz"):
        (tmp_path / file).write_bytes((quick.folder / file).read_bytes())
    onnx.save(model, tmp_path / "agent.onnx")
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


def test_a_step_that_is_not_finite_changes_no_memory_in_onnx(quick):
    module = parity._module(quick.folder / "agent.py")
    agent = module.open_agent(quick.folder)
    state, _ = agent.step(agent.begin(), None, 0)
    after, decision = agent.step(state, module.Feedback(1, float("nan"), 0), 0)
    healthy, _ = agent.step(state, module.Feedback(1, 1.0, 0), 0)
    assert decision["nonfinite_steps.steps"] == 1
    np.testing.assert_array_equal(state.memory[0], after.memory[0])
    assert not np.array_equal(state.memory[0], healthy.memory[0])


def test_an_agent_with_an_operation_that_onnx_lacks_is_refused_with_the_targets_that_have_it(tmp_path):
    said = r"grid-navigation-pearl .*act of the agent uses .*no form in ONNX: .*random_bits.*targets can write it: numpy, c\."
    with pytest.raises(NoProgramError, match=said) as raised:
        exported("grid-navigation-pearl", "onnx", tmp_path)
    assert "\n" not in str(raised.value)
    assert "random_bits" in raised.value.part
    assert not any(tmp_path.iterdir())
