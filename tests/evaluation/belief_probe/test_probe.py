"""Readouts: p-values by hand, the parameters that are estimated, and accuracy where the exact posterior is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import baselines, tasks
from quickstudy.evaluation.belief_probe.calibration import calibration_of, exact_agent, measure_calibration
from quickstudy.evaluation.belief_probe.features import features_along, features_of
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.belief_probe.lifetimes import probe_lifetimes
from quickstudy.evaluation.belief_probe.probe import DECAY, average_of_last_steps, p_value, with_readout
from quickstudy.evaluation.belief_probe.storage import load_readout, save_readout
from quickstudy.evaluation.belief_probe.targets import named_parameters, numbers_of
from quickstudy.protocol.errors import BundleError, SpecError, TaskDistributionError, UsageError
from quickstudy.rollout.compiled import run_lifetime

pytestmark = pytest.mark.slow
TABLE = jnp.array([1.0, 2.0, 3.0])


@pytest.fixture(scope="module")
def drift():
    """Control under a hidden wind, the agent that holds its exact posterior, and a readout of it."""
    distribution = tasks.make("drifting-control", horizon=20)
    agent = distribution.baselines["certainty equivalence"]()
    params = agent.init(jax.random.key(0))
    return distribution, agent, params, fit_readout(agent, params, distribution, ReadoutConfig(tasks=1200, updates=1500))


def test_a_p_value_counts_what_is_as_high():
    np.testing.assert_allclose(p_value(TABLE, jnp.array([0.5, 2.0, 2.5, 9.0])), [1.0, 3 / 4, 2 / 4, 1 / 4])


def test_the_average_of_the_last_steps_decays_and_ignores_steps_that_did_not_happen():
    scores, valid = jnp.array([9.0, 9.0, 0.0]), jnp.array([True, True, False])
    last, along = average_of_last_steps(scores, valid, TABLE, since=jnp.zeros(()))
    once = 0.67449  # a p-value of 1/4, in normal deviations
    np.testing.assert_allclose(along[0], (1 - DECAY) * once, rtol=1e-4)
    np.testing.assert_allclose(along[1], (1 - DECAY**2) * once, rtol=1e-4)
    assert along[2] == along[1] == last


def test_only_parameters_that_differ_between_tasks_are_estimated():
    grid = tasks.make("grid-navigation")
    (goal,) = named_parameters(grid, grid.sample_tasks("train", jax.random.key(0), tasks=500))
    assert goal.name.startswith("goal")
    assert (len(goal.choices), goal.outputs) == (21, 21)
    np.testing.assert_array_equal(numbers_of(goal, np.array([goal.choices[3], (99, 99)])), [3, -1])
    with pytest.raises(TaskDistributionError, match="names nothing that differs"):
        named_parameters(grid, grid.sample_tasks("train", jax.random.key(0), tasks=1))


def test_features_are_the_belief_where_an_agent_has_one():
    distribution = tasks.make("drifting-control", horizon=5)
    agent = distribution.baselines["certainty equivalence"]()
    task = distribution.sample("train", jax.random.key(0))
    lifetime, _ = run_lifetime(agent, distribution, (), task, jax.random.key(1))
    key = jax.random.split(jax.random.key(1))[0]
    belief = agent.unroll((), lifetime, key)[1].extras["belief"]
    known = features_along(agent, (), lifetime, key)
    np.testing.assert_allclose(known[:, :2], belief.mean, atol=1e-6)


def test_a_memory_that_is_too_large_is_refused():
    distribution = tasks.make("point-navigation", episodes=40)
    agent = baselines.make("ppo", distribution.spec)
    params = agent.init(jax.random.key(0))
    with pytest.raises(SpecError, match="a readout reads 1 to 4096 numbers"):
        features_of(agent, params, agent.begin(params, jax.random.key(0)), jnp.zeros(2))


@pytest.mark.slow
def test_coverage_and_alarms_are_as_calibrated_where_the_exact_posterior_is_known(drift):
    distribution, agent, params, readout = drift
    found = measure_calibration(agent, params, readout, distribution, split="test", tasks=400)
    for coverage in found.coverage:
        assert coverage.overall == pytest.approx(coverage.level, abs=0.05)
    for alarms in found.alarms:
        assert 0.005 <= alarms.steps <= 0.02
    assert found.divergence[-1] < 0.25
    gusts = measure_calibration(agent, params, readout, distribution, split="ood:gusts", tasks=100)
    assert next(a for a in gusts.alarms if a.kind == "last_steps").delay < 10


def test_the_distribution_names_the_baseline_whose_belief_is_exact(drift):
    distribution = drift[0]
    assert exact_agent(tasks.make("grid-navigation")) is None
    assert exact_agent(distribution) is not None
    with pytest.raises(TaskDistributionError, match=r"must be the name of one of its baselines .*came 'certainty'"):
        exact_agent(dataclasses.replace(distribution, exact_belief="certainty"))


def test_a_belief_that_is_not_over_the_parameters_is_refused(drift):
    distribution, agent, params, readout = drift
    probed = probe_lifetimes(agent, params, readout, distribution, split="test", tasks=3)
    with pytest.raises(TaskDistributionError, match="must be a GaussianBelief of 2 numbers"):
        calibration_of(probed, readout, dataclasses.replace(distribution, exact_belief="random"))


def test_an_agent_with_a_readout_acts_alike_and_says_more(drift):
    distribution, agent, params, readout = drift
    watched = with_readout(agent, readout)
    task = distribution.sample("ood:gusts", jax.random.key(4))
    lifetime, _ = jax.jit(lambda key: run_lifetime(watched, distribution, params, task, key))(jax.random.key(5))
    plain, _ = jax.jit(lambda key: run_lifetime(agent, distribution, params, task, key))(jax.random.key(5))
    np.testing.assert_allclose(lifetime.outcome.reward, plain.outcome.reward, rtol=1e-5)
    said = lifetime.decision.extras
    assert said["p_values"]["last_steps"][0] == said["p_values"]["step"][0] == 1.0
    assert (said["p_values"]["last_steps"][10:] < 0.01).mean() > 0.5
    assert {"wind_x", "wind_y"} == set(said["parameters"])


def test_a_readout_comes_back_from_disk_as_it_was(drift, tmp_path):
    _, _, _, readout = drift
    save_readout(tmp_path / "readout.safetensors", readout)
    back = load_readout(tmp_path / "readout.safetensors")
    assert back.named == readout.named
    assert jax.tree.structure(back) == jax.tree.structure(readout)
    jax.tree.map(np.testing.assert_array_equal, back, readout)
    (tmp_path / "torn").write_bytes((tmp_path / "readout.safetensors").read_bytes()[:-8])
    for name, said in (("torn", "truncated or altered"), ("nothing", "cannot be read as the readout")):
        with pytest.raises(BundleError, match=said):
            load_readout(tmp_path / name)


def test_bad_settings_are_named():
    with pytest.raises(UsageError, match="tasks must be 40 or more"):
        ReadoutConfig(tasks=10)
    with pytest.raises(UsageError, match="updates must be above zero"):
        dataclasses.replace(ReadoutConfig(), updates=0)
