"""Agents whose matrices are held in fewer bits: every form repeats them, and they earn what the trained agent earns."""

import dataclasses
import importlib.util
import json

import jax
import numpy as np
import pytest

from export.agents import BUNDLES, QUICK, exported, opened
from export.c_function import needs_gcc
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.export.export import LARGEST_DEVIATION, in_fewer_bits
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.program_agent import program_agent
from quickstudy.rollout.step_programs import step_programs
from quickstudy.storage.bundle import load_bundle

needs_onnx = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed"),
]

needs_litert = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed"),
]


@pytest.fixture(scope="module")
def in_eight_bits(tmp_path_factory):
    """A bandit agent in NumPy with matrices of whole numbers."""
    return exported(QUICK, "numpy", tmp_path_factory.mktemp("int8"), quantise="int8", check=300)


def test_the_numpy_form_repeats_the_agent_with_these_matrices(in_eight_bits, in_numpy):
    parity = in_eight_bits.parity
    assert parity.of_policy <= LARGEST_DEVIATION
    assert 1e-3 < parity.of_trained < 0.5  # it is another agent, though not a very different one
    assert in_eight_bits.weight_bytes < 0.3 * in_numpy.weight_bytes
    assert (in_eight_bits.folder / "weights.npz").stat().st_size < 0.4 * (in_numpy.folder / "weights.npz").stat().st_size
    assert json.loads((in_eight_bits.folder / "report.json").read_text())["of_trained"] == parity.of_trained


def test_the_contract_says_what_the_matrices_are(in_eight_bits, in_numpy):
    said = [json.loads((one.folder / "contract.json").read_text())["weights"] for one in (in_eight_bits, in_numpy)]
    assert [one["matrices"] for one in said] == ["int8", "float32"]
    assert [one["bytes"] for one in said] == [in_eight_bits.weight_bytes, in_numpy.weight_bytes]
    assert "policies differ" in said[0]["says"]


def test_weights_are_widened_once_and_not_at_every_step(in_eight_bits):
    module, _ = opened(in_eight_bits)
    source = (in_eight_bits.folder / "agent.py").read_text()
    assert ".astype(np.float32)" in source.partition("def take_in")[0]
    assert "_as_float32.astype" not in source
    with np.load(in_eight_bits.folder / "weights.npz") as file:
        assert {file[name].dtype.name for name in file.files if file[name].ndim == 2 and "initial" not in name} == {"int8"}
    assert module.Agent is not None


@pytest.mark.parametrize(
    ("to", "numbers"),
    [
        pytest.param("c", "int8", marks=needs_gcc),
        pytest.param("onnx", "int8", marks=needs_onnx),
        ("numpy", "fp16"),
        pytest.param("onnx", "fp16", marks=[*needs_onnx, pytest.mark.slow]),
        pytest.param("litert", "fp16", marks=[*needs_litert, pytest.mark.slow]),
    ],
)
def test_other_forms_repeat_it_too(to, numbers, tmp_path):
    result = exported(QUICK, to, tmp_path, quantise=numbers, check=300)
    assert result.parity.of_policy <= LARGEST_DEVIATION
    assert 1e-5 < result.parity.of_trained < (0.5 if numbers == "int8" else 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["numpy", pytest.param("c", marks=needs_gcc)])
@pytest.mark.parametrize("name", ["half-cheetah-rl2", "mdp-n10", "grid-navigation-varibad"])
def test_bundles_of_every_kind_are_repeated_in_eight_bits(name, to, tmp_path):
    result = exported(name, to, tmp_path, quantise="int8", check=2000)
    assert result.repeats_the_agent
    assert result.parity.of_policy < 5e-5


def test_c_has_no_numbers_of_sixteen_bits_with_a_fraction(tmp_path):
    with pytest.raises(
        UsageError, match=r"C99 has no numbers of 16 bits .* Use --quantize int8, or --to numpy, onnx or litert"
    ):
        exported(QUICK, "c", tmp_path, quantise="fp16")


def _coarser(programs, levels):
    """The programs with matrices of fewer levels than 8 bits have."""

    def coarse(program):
        def rounded(value):
            if getattr(value, "array", np.zeros(0)).dtype != np.int8:
                return value
            step = 127 / levels
            return dataclasses.replace(value, array=(np.rint(value.array / step) * step).astype(np.int8))

        operations = tuple(
            dataclasses.replace(op, inputs=tuple(rounded(value) for value in op.inputs)) for op in program.operations
        )
        return dataclasses.replace(program, operations=operations)

    return dataclasses.replace(programs, take_in=coarse(programs.take_in), decide=coarse(programs.decide))


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in ("bandit-n10-k10", "mdp-n10"))])
def test_in_eight_bits_an_agent_earns_what_it_earns_in_thirty_two(name):
    """The mean return on 1,000 held-out tasks lies in the interval of the trained agent. Three levels lose far more."""
    bundle = load_bundle(BUNDLES / name)
    agent, params = with_nonfinite_guard(bundle.agent), bundle.params_of(0)
    programs = in_fewer_bits(step_programs(agent, params), "int8")
    one = jax.tree.map(lambda leaf: leaf[None], params)
    forms = {"trained": agent, "int8": program_agent(agent, programs), "coarse": program_agent(agent, _coarser(programs, 1))}
    contenders = {label: Contender(agent=form, params=one, trained=True) for label, form in forms.items()}
    found = evaluate(contenders, bundle.distribution(), split="test", tasks=1000)
    returns = {label: result.lifetime_return for label, result in found.results.items()}
    assert returns["trained"].low <= returns["int8"].value <= returns["trained"].high
    lost = {label: returns["trained"].value - returns[label].value for label in ("int8", "coarse")}
    assert lost["coarse"] > 4 * abs(lost["int8"])
