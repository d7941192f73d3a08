"""Exported agents repeat the agents in JAX, and keep their contract."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.agents import BUNDLES, QUICK, exported, opened
from export.c_function import IN_CI, needs_gcc, run_c
from quickstudy.export import parity
from quickstudy.export.export import LARGEST_DEVIATION
from quickstudy.protocol.errors import NoProgramError, UsageError
from quickstudy.storage.bundle import load_bundle

KINDS = ["bandit-n10-k10", "half-cheetah-rl2", "mdp-n10", "grid-navigation-varibad"]
"""Bundles of four kinds: GRU bandit, continuous control, associative MDP, belief agent."""
OTHERS = [
    "cart-pole-hybrid",
    "drifting-control-pearl",
    "drifting-control-energy",
    "pendulum-rl2",
]
EXHAUSTIVE = {"pendulum-rl2": ("numpy", "c")} | {name: ("numpy",) for name in OTHERS if name != "pendulum-rl2"}
"""Bundles whose kind is tried with another: the pendulum's is that of the cheetah, and each of the others is tried in C."""
REFUSED = ["pendulum-maml", "reach-promp", "navigation-multi-task", "navigation-part-10"]


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """A continuous agent, whose observations can be other than finite, in NumPy."""
    return exported("pendulum-rl2", "numpy", tmp_path_factory.mktemp("control"), check=0)


def test_the_numpy_form_repeats_the_agent(in_numpy):
    assert in_numpy.parity.steps == 1000
    assert in_numpy.parity.of_policy <= LARGEST_DEVIATION


@needs_gcc
def test_the_c_form_repeats_the_agent(in_c):
    assert in_c.parity.of_policy <= LARGEST_DEVIATION
    assert len(in_c.parity.check_value) == 16


@needs_gcc
@pytest.mark.parametrize(
    ("name", "to"),
    [
        pytest.param(name, to, marks=pytest.mark.exhaustive if to in EXHAUSTIVE.get(name, ()) else pytest.mark.slow)
        for name in [*KINDS, *OTHERS]
        for to in ("numpy", "c")
    ],
)
def test_bundles_of_every_kind_repeat_their_agents(name, to, tmp_path):
    result = exported(name, to, tmp_path, check=10_000)
    assert result.parity.steps == 10_000
    assert result.parity.of_policy <= LARGEST_DEVIATION


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "to"), [("mdp-n10-taught", "numpy"), pytest.param("xland-rl2", "c", marks=[pytest.mark.suites, needs_gcc])]
)
def test_an_agent_that_enlarges_rounding_is_repeated_as_closely_as_jax_repeats_it(name, to, tmp_path):
    """On their own tasks, two programs of JAX differ by 1.3e-5 and 3.3e-5 on these agents."""
    if name == "xland-rl2":
        pytest.importorskip("xminigrid")
    result = exported(name, to, tmp_path, check=10_000)
    assert result.repeats_the_agent
    assert result.parity.of_policy < 5e-5
    assert result.parity.of_policy <= LARGEST_DEVIATION or 5e-6 < result.parity.of_jax < 5e-5


@pytest.mark.parametrize("name", REFUSED)
def test_an_agent_that_cannot_be_exported_is_refused_with_the_part_that_cannot(name, tmp_path):
    with pytest.raises(NoProgramError, match=f"{name} .* cannot be exported to numpy: .* steps at once") as raised:
        exported(name, "numpy", tmp_path)
    assert raised.value.part.startswith("adapt, which takes")
    assert not any(tmp_path.iterdir())


def test_recorded_steps_hold_what_a_port_must_be_tested_on(control):
    with np.load(control.folder / "vectors.npz") as file:
        steps = {name: file[name] for name in file.files}
    assert len(steps["begins"]) == 1000
    assert steps["begins"][0]
    assert steps["begins"].sum() > 1
    assert steps["feedback.terminated"].any()
    assert steps["feedback.truncated"].any()
    assert np.isnan(steps["feedback.reward"]).any()
    assert np.isnan(steps["observation"]).any()
    # An observation is the successor of the step before, unless an episode has ended or a lifetime begins.
    same = np.isclose(steps["observation"], steps["feedback.successor"], equal_nan=True).all(-1)
    assert 0.8 < same.mean() < 1


def test_it_runs_where_jax_is_not(in_numpy):
    code = (
        "import sys, runpy; sys.modules['jax'] = sys.modules['quickstudy'] = sys.modules['scipy'] = None; "
        f"sys.argv = [{str(in_numpy.folder / 'agent.py')!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "policy.logits: largest deviation" in done.stdout


def test_an_altered_weight_is_found(in_numpy, tmp_path):
    folder = shutil.copytree(in_numpy.folder, tmp_path / "altered")
    with np.load(folder / "weights.npz") as file:
        weights = {name: file[name] for name in file.files}
    largest = max((name for name in weights if weights[name].ndim == 2), key=lambda name: weights[name].size)
    weights[largest] = weights[largest] * np.float32(1.01)
    np.savez(folder / "weights.npz", **weights)
    done = subprocess.run([sys.executable, str(folder / "agent.py")], capture_output=True, text=True)
    assert done.returncode == 1


def test_the_contract_names_everything_that_goes_in_and_comes_out(in_numpy):
    contract = json.loads((in_numpy.folder / "contract.json").read_text())
    module, agent = opened(in_numpy)
    _, decision = agent.step(agent.begin(), None, 0)
    assert [one["name"] for one in contract["decision"]] == list(decision)
    for one in contract["decision"]:
        assert np.shape(decision[one["name"]]) == tuple(one["shape"])
    assert set(contract["feedback"]) == set(module.Feedback._fields)
    assert contract["bundle"]["parameters_sha256"] == load_bundle(BUNDLES / QUICK).card["parameters_sha256"]
    assert contract["lifetime_steps"] == 10
    np.testing.assert_allclose(np.exp(decision["policy.logits"]).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("broken", ["reward", "successor", "observation"])
def test_a_step_that_is_not_finite_changes_no_memory(control, broken):
    module, agent = opened(control)
    first, later = np.asarray([0.1, 0.2, 0.3], np.float32), np.asarray([0.4, 0.5, 0.6], np.float32)
    seen = np.where([False, broken == "observation", False], np.nan, first).astype(np.float32)
    state, _ = agent.step(agent.begin(), None, seen)
    successor = np.where([broken == "successor", False, False], np.inf, later).astype(np.float32)
    feedback = module.Feedback([0.5], float("nan") if broken == "reward" else -1.0, successor)
    names = [part["name"] for part in agent.contract["state"]["memory"]]
    after, decision = agent.step(state, feedback, later)
    for name, before, now in zip(names, state.memory, after.memory, strict=True):
        if name.startswith("memory.memory"):
            np.testing.assert_array_equal(before, now, err_msg=name)
    assert decision["nonfinite_steps.steps"] == 1
    healthy, _ = agent.step(state, feedback._replace(reward=-1.0, successor=later), later)
    changed = any(not np.array_equal(a, b) for a, b in zip(state.memory[:1], healthy.memory[:1], strict=True))
    assert changed or broken == "observation"


def test_the_last_finite_number_takes_the_place_of_one_that_is_not(control):
    module, agent = opened(control)
    state, _ = agent.step(agent.begin(), None, [0.1, 0.2, 0.3])
    feedback = module.Feedback([0.5], -1.0, [0.4, 0.5, 0.6])
    _, whole = agent.step(state, feedback, [0.4, 0.5, 0.6])
    _, filled = agent.step(state, feedback, [float("nan"), 0.5, float("inf")])
    np.testing.assert_array_equal(whole["policy.mean"], filled["policy.mean"])
    assert filled["nonfinite_steps.now"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": [0.1, 0.2]}, r"observation must have the shape \(3,\); came \(2,\)"),
        ({"action": [0.1, 0.2]}, r"action must have the shape \(1,\); came \(2,\)"),
        ({"action": [float("nan")]}, "must be finite"),
        ({"successor": [0.1]}, r"successor must have the shape \(3,\)"),
    ],
)
def test_wrong_lengths_are_refused_in_numpy(control, changes, message):
    module, agent = opened(control)
    state, _ = agent.step(agent.begin(), None, [0.1, 0.2, 0.3])
    given = {"action": [0.5], "successor": [0.1, 0.2, 0.3], "observation": [0.1, 0.2, 0.3]} | changes
    with pytest.raises(ValueError, match=message):
        agent.step(state, module.Feedback(given["action"], 0.0, given["successor"]), given["observation"])
    with pytest.raises(ValueError, match="nothing was decided"):
        agent.step(agent.begin(), module.Feedback([0.5], 0.0, [0.1, 0.2, 0.3]), [0.1, 0.2, 0.3])


def test_whole_numbers_outside_their_range_are_refused(in_numpy):
    module, agent = opened(in_numpy)
    state, _ = agent.step(agent.begin(), None, 0)
    for action in (5, -1, 1.5):
        with pytest.raises(ValueError, match="action must be a whole number from 0 to 4"):
            agent.step(state, module.Feedback(action, 0.0, 0), 0)


REFUSALS_IN_C = """
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "agent.h"
int main(void) {
    agent_state state, before;
    agent_decision decision;
    int32_t seen = 0, action = 1, wrong = 9;
    agent_feedback feedback = {&action, 1, 1.0f, &seen, 1, 0, 0};
    agent_begin(&state);
    printf("%d ", agent_step(&state, &feedback, &seen, 1, &decision));
    printf("%d ", agent_step(&state, NULL, &seen, 2, &decision));
    printf("%d ", agent_step(&state, NULL, &wrong, 1, &decision));
    printf("%d ", agent_step(&state, NULL, &seen, 1, &decision));
    before = state;
    feedback.action = &wrong;
    printf("%d ", agent_step(&state, &feedback, &seen, 1, &decision));
    feedback.action = &action;
    feedback.action_length = 0;
    printf("%d ", agent_step(&state, &feedback, &seen, 1, &decision));
    printf("%d ", memcmp(&before, &state, sizeof state) != 0);
    feedback.action_length = 1;
    feedback.reward = NAN;
    printf("%d ", agent_step(&state, &feedback, &seen, 1, &decision));
    printf("%d %d ", memcmp(before.memory, state.memory, sizeof state.memory) != 0, (int)decision.nonfinite_steps_steps);
    feedback.reward = 1.0f;
    printf("%d ", agent_step(&state, &feedback, &seen, 1, &decision));
    printf("%d %d\\n", memcmp(before.memory, state.memory, sizeof state.memory) != 0, (int)state.slot);
    return 0;
}
"""


@needs_gcc
def test_the_c_form_refuses_and_leaves_out_what_the_contract_says(in_c, tmp_path):
    said = run_c(REFUSALS_IN_C, in_c.folder, tmp_path)
    # nothing decided, wrong length, out of range, done; out of range, wrong length, unchanged; done, unchanged, one masked;
    # done, changed, slot 2
    assert said.split() == ["3", "1", "2", "0", "2", "1", "0", "0", "0", "1", "0", "1", "2"]


@pytest.fixture(scope="session")
def aarch64():
    """The cross compiler and the emulator; in CI they are installed where they are missing."""
    tools = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
    if not all(map(shutil.which, tools)) and IN_CI and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        packages = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"]
        subprocess.run(["apt-get", "install", "-y", "-qq", *packages], check=False, stdout=subprocess.DEVNULL)
    if not all(map(shutil.which, tools)):
        (pytest.fail if IN_CI else pytest.skip)("needs gcc-aarch64-linux-gnu and qemu-user")
    return tools


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("name", [QUICK, "half-cheetah-rl2", "mdp-n10"])
def test_the_c_form_decides_the_same_bits_on_aarch64(aarch64, name, tmp_path):
    folder = exported(name, "c", tmp_path / "c", check=0).folder
    compiler, emulator = aarch64
    here = parity.build_replay(folder, tmp_path / "here", flags=("-march=native",))
    plain = parity.build_replay(folder, tmp_path / "plain", flags=("-O1",))
    there = parity.build_replay(folder, tmp_path / "there", compiler=compiler, flags=("-static",))
    vectors = str(folder / "vectors.bin")
    runs = [[str(here), vectors], [str(plain), vectors], [emulator, str(there), vectors]]
    values = [parity.parity_of_replay(parity.run_replay(run)).check_value for run in runs]
    assert values[0] is not None
    assert values == [values[0]] * 3


def test_other_targets_and_lengths_are_refused(tmp_path):
    with pytest.raises(UsageError, match="must be one of numpy, c, onnx, litert; came 'rust'"):
        exported(QUICK, "rust", tmp_path)
    with pytest.raises(UsageError, match="0 steps or more; came -1"):
        exported(QUICK, "numpy", tmp_path, check=-1)


@needs_gcc
def test_a_folder_of_the_user_with_the_name_of_a_build_stays(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "mine.o").write_text("mine")
    exported(QUICK, "c", tmp_path, check=50)
    assert (tmp_path / "build" / "mine.o").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_without_a_compiler_the_check_says_so(in_c, tmp_path):
    with pytest.raises(UsageError, match="which is not installed"):
        parity.build_replay(in_c.folder, tmp_path / "replay", compiler="no-such-compiler")


EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_control_loop_runs_and_its_watchdog_steps_in(control):
    spec = importlib.util.spec_from_file_location("control_loop", EXAMPLES / "control_loop.py")
    loop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loop)
    returns, late, interventions = loop.run(control.folder, episodes=2, rate=1e6, deadline=0.002, stalls=0.02)
    assert len(returns) == 2
    assert len(late) == 400
    assert 1 <= interventions <= 100
    assert all(-200 * 16.3 < total < 0 for total in returns)  # a step costs at most π² + 0.1 · 8² + 0.001 · 2²
    loop.draw(late, control.folder / "jitter.svg", 1 / 50)
    assert "<svg" in (control.folder / "jitter.svg").read_text()


@needs_gcc
@pytest.mark.slow
def test_the_control_loop_in_c_compiles_and_runs(tmp_path):
    folder = exported("pendulum-rl2", "c", tmp_path / "agent", check=0).folder
    sources = [str(EXAMPLES / "control_loop.c"), str(folder / "agent.c")]
    program = str(tmp_path / "loop")
    subprocess.run(["gcc", *parity.COMPILER_FLAGS, f"-I{folder}", "-o", program, *sources, "-lm"], check=True)
    said = subprocess.run([program, "0"], capture_output=True, text=True, check=True).stdout
    returns = [float(line.rpartition(" ")[2]) for line in said.splitlines() if line.startswith("episode")]
    assert len(returns) == 2
    assert all(-200 * 16.3 < total < 0 for total in returns)
