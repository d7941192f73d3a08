"""What an exported agent is compared by: the measure is fair to large and small numbers, and nothing slips through it."""

import json

import gymnasium
import jax
import numpy as np
import pytest

from export.agents import BUNDLES, QUICK, exported, opened, untrained
from export.c_function import needs_gcc
from export.wide import decided_in_64_bits
from marks import slow_but
from quickstudy.export import parity
from quickstudy.export.contract import contract
from quickstudy.export.export import LARGEST_DEVIATION, Exported, export_bundle
from quickstudy.export.repeating import deviation_from_itself
from quickstudy.export.vectors import record_vectors
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.step_programs import step_programs
from quickstudy.storage.bundle import load_bundle


def recorded(name, steps):
    """Recorded steps of a bundle, and its programs."""
    bundle = load_bundle(BUNDLES / name)
    agent, params = with_nonfinite_guard(bundle.agent), bundle.params_of(0)
    programs = step_programs(agent, params)
    given = {"drawn_at_start": programs.drawn_at_start, "outputs": list(programs.decision), "seed": 0}
    return record_vectors(agent, params, bundle.distribution(), steps=steps, **given), programs


@pytest.mark.parametrize("wrong", slow_but([float("inf")], [float("nan"), float("inf")]))
@pytest.mark.parametrize("to", ["numpy", pytest.param("c", marks=needs_gcc)])
def test_a_step_that_is_no_number_is_found_whatever_follows_it(to, wrong, request):
    folder = request.getfixturevalue("in_numpy" if to == "numpy" else "in_c").folder
    vectors, programs = recorded(QUICK, 20)
    compare = parity.python_parity if to == "numpy" else lambda *given: parity.c_parity(*given, programs)
    assert compare(folder, vectors).of_policy <= LARGEST_DEVIATION
    vectors.decision["policy.logits"] = np.where(np.arange(20)[:, None] == 3, wrong, vectors.decision["policy.logits"])
    found = compare(folder, vectors)
    assert found.of_policy == found.absolute["policy.logits"] == float("inf")


def test_deviations_are_measured_in_the_size_of_numbers_and_of_ranges(in_numpy):
    module, _ = opened(in_numpy)
    expected = np.float32([-50.0, 0.5, 0.0])
    apart, absolute = module._apart(expected + np.float32([1e-3, 0, 0]), expected, 1.0)
    assert (apart, absolute) == pytest.approx((2e-5, 1e-3), rel=0.01)
    # An action between -0.001 and 0.001, and one between -1000 and 1000: half of its range is what counts.
    sizes = np.float32([0.001, 1000.0])
    assert module._apart(np.float32([1e-6, 0]), np.float32([0, 0]), sizes) == pytest.approx((1e-3, 1e-6), rel=1e-3)
    assert module._apart(np.float32([0, 1e-3]), np.float32([0, 0]), sizes) == pytest.approx((1e-6, 1e-3), rel=1e-3)


@pytest.mark.parametrize("to", ["numpy", pytest.param("c", marks=needs_gcc)])
def test_both_forms_measure_small_and_large_actions_alike(to, tmp_path):
    space = gymnasium.spaces.Box(np.float32([-0.001, -1000]), np.float32([0.001, 1000]))
    bundle = untrained(gymnasium.spaces.Box(-3, 3, (2,)), space, hidden_size=4, cell="gru")
    result = export_bundle(bundle, to=to, folder=tmp_path, name="small", check=200)
    contract = json.loads((tmp_path / "contract.json").read_text())
    sizes = {one["name"]: one.get("size") for one in contract["decision"]}
    assert sizes["policy.mean"] == sizes["policy.deviation"] == pytest.approx([0.001, 1000])
    assert sizes["value"] is None
    assert result.parity.of_policy <= LARGEST_DEVIATION
    assert result.parity.absolute["policy.mean"] > result.parity.deviation["policy.mean"]


@pytest.mark.parametrize(
    ("of_policy", "of_jax", "repeats"),
    [
        (9e-6, None, True),
        (2e-5, 9e-6, False),
        (2e-5, 1.1e-5, True),
        (2e-4, 3e-4, False),
        (float("inf"), float("inf"), False),
    ],
)
def test_only_rounding_that_jax_has_too_is_excused(of_policy, of_jax, repeats, tmp_path):
    found = parity.Parity(steps=1, deviation={"policy.logits": of_policy}, absolute={}, of_jax=of_jax)
    assert Exported(folder=tmp_path, sizes={}, weight_bytes=0, parity=found, cost=None).repeats_the_agent is repeats


@pytest.mark.parametrize("name", slow_but([QUICK], [QUICK, "pendulum-rl2", "drifting-control-energy"]))
def test_an_agent_in_jax_is_compared_with_itself_as_exported_ones_are(name):
    vectors, programs = recorded(name, 200)
    bundle = load_bundle(BUNDLES / name)
    agent, params = with_nonfinite_guard(bundle.agent), bundle.params_of(0)
    said = contract(programs, agent.spec, bundle={}, seed=0, memory_bytes=0, weights={}, products=0)
    assert deviation_from_itself(agent, params, vectors, said) < LARGEST_DEVIATION
    altered = jax.tree.map(lambda leaf: leaf * 1.01, params)
    assert deviation_from_itself(agent, altered, vectors, said) > LARGEST_DEVIATION


@pytest.mark.slow
def test_where_rounding_grows_jax_is_as_far_from_64_bits_as_the_numpy_form(tmp_path):
    """So no order of summation brings a form closer to JAX than JAX is to what the program says."""
    vectors, programs = recorded("mdp-n10-taught", 10_000)
    result = exported("mdp-n10-taught", "numpy", tmp_path, check=0)
    in_64_bits = decided_in_64_bits(*opened(result), programs, vectors)
    exact, of_jax = in_64_bits.decision["policy.logits"], vectors.decision["policy.logits"]
    module, _ = opened(result)
    from_jax, _ = module._apart(of_jax, exact, 1.0)
    form = parity.python_parity(result.folder, in_64_bits).of_policy
    assert LARGEST_DEVIATION < from_jax < 2e-5
    assert form < 2 * from_jax
