"""Learning from what only the simulator knows, ceilings and mean rewards: where they come from, and what the agent is told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.algorithms.lifetime_ppo import _known_reward
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, KnownLifetimes
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.sources import source_for
from quickstudy.training.update import initial_state, run_update, update_program
from rollout.collecting.poles import poles

SMALL = {"hidden_size": 8, "lifetimes": 16, "minibatches": 2}
BANDITS = tasks.make("bernoulli-bandit", arms=3, pulls=5)


@pytest.fixture(scope="module")
def algorithm():
    return algorithms.make("rl2", BANDITS.spec, subtract_ceiling=True, **SMALL)


def given(algorithm, distribution, keys):
    """What one update is given, of lifetimes with these keys."""
    source = source_for(algorithm, distribution, tasks=1)
    params = algorithm.params(algorithm.init(jax.random.key(0)))
    return jax.jit(lambda params: source.next((), params, (), keys)[1].given)(params)


def test_every_lifetime_comes_with_the_ceiling_of_its_own_task(algorithm):
    keys = jax.random.split(jax.random.key(1), 16)
    lifetimes = given(algorithm, BANDITS, keys)
    assert isinstance(lifetimes, KnownLifetimes)
    drawn = [BANDITS.sample("train", jax.random.split(key)[0]) for key in keys]
    np.testing.assert_allclose(lifetimes.ceiling, [5 * np.max(task.probability) for task in drawn], rtol=1e-6)


def test_what_is_subtracted_is_the_ceiling_where_rewards_are_paid(algorithm):
    lifetimes = given(algorithm, BANDITS, jax.random.split(jax.random.key(1), 16))
    paid_late = dataclasses.replace(lifetimes.lifetimes.outcome, reward=jnp.zeros((5, 16)).at[3].set(2.0).at[4].set(-6.0))
    late = dataclasses.replace(lifetimes, lifetimes=dataclasses.replace(lifetimes.lifetimes, outcome=paid_late))
    for lived, shares in ((lifetimes, None), (late, [0, 0, 0, 0.25, 0.75])):
        below = jax.vmap(_known_reward, axis_name=LIFETIMES_AXIS)(jax.tree.map(lambda leaf: leaf[None], lived))[0]
        reward = np.asarray(lived.lifetimes.outcome.reward)
        np.testing.assert_allclose(below.sum(0), reward.sum(0) - np.asarray(lived.ceiling), rtol=1e-5)
        if shares is not None:
            np.testing.assert_allclose(below, reward - np.outer(shares, lived.ceiling), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ceilings", [False, True])
def test_mean_rewards_are_those_of_the_actions_that_were_taken(ceilings):
    learner = algorithms.make("rl2", BANDITS.spec, mean_rewards=True, subtract_ceiling=ceilings, **SMALL)
    keys = jax.random.split(jax.random.key(1), 16)
    lived = given(learner, BANDITS, keys)
    action = np.asarray(lived.lifetimes.decision.action)
    drawn = [np.asarray(BANDITS.sample("train", jax.random.split(key)[0]).probability) for key in keys]
    paid = np.stack([probability[actions] for probability, actions in zip(drawn, action.T, strict=True)], 1)
    np.testing.assert_allclose(lived.mean_reward, paid, rtol=1e-6)
    learned = jax.vmap(_known_reward, axis_name=LIFETIMES_AXIS)(jax.tree.map(lambda leaf: leaf[None], lived))[0]
    subtracted = 5 * np.max(drawn, 1) if ceilings else 0.0
    np.testing.assert_allclose(learned.sum(0), paid.sum(0) - subtracted, rtol=1e-4, atol=1e-5)
    assert set(np.unique(lived.lifetimes.outcome.reward)) == {0.0, 1.0}


def test_mean_rewards_of_steps_that_did_not_happen_count_nothing():
    lived = given(
        algorithms.make("rl2", BANDITS.spec, mean_rewards=True, **SMALL), BANDITS, jax.random.split(jax.random.key(1), 16)
    )
    lifetimes = dataclasses.replace(lived.lifetimes, valid=lived.lifetimes.valid.at[3:].set(False))
    learned = jax.vmap(_known_reward, axis_name=LIFETIMES_AXIS)(
        jax.tree.map(lambda leaf: leaf[None], dataclasses.replace(lived, lifetimes=lifetimes))
    )[0]
    np.testing.assert_array_equal(learned[:3], lived.mean_reward[:3])
    np.testing.assert_array_equal(learned[3:], 0.0)


def updated(algorithm, distribution):
    """A leaf of the policy after one update."""
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, distribution, tasks=1)
    state, _ = run_update(update_program(algorithm, source), source, initial_state(algorithm, source, roots), roots, 0, 0.0)
    return np.asarray(state.train.params.network.score.weight)


@pytest.mark.slow
def test_a_ceiling_of_zero_changes_nothing_and_another_one_does(algorithm):
    plain = algorithms.make("rl2", BANDITS.spec, **SMALL)
    nothing = dataclasses.replace(BANDITS, ceiling=lambda task: jnp.zeros_like(task.probability[0]))
    np.testing.assert_allclose(updated(algorithm, nothing), updated(plain, nothing), rtol=1e-5, atol=1e-7)
    assert not np.allclose(updated(algorithm, BANDITS), updated(plain, BANDITS), rtol=1e-3)


def test_a_trained_agent_says_its_regret_and_reads_rewards_as_they_are(algorithm):
    trained = meta_train(algorithm, BANDITS, TrainingConfig(budget="1 steps", held_out_tasks=8)).params
    params = jax.tree.map(lambda leaf: leaf[0], trained)
    task = BANDITS.sample("test", jax.random.key(2))
    lifetime, memory = run_lifetime(algorithm.agent, BANDITS, params, task, jax.random.key(3))
    assert set(lifetime.decision.extras) == {"policy", "log_probability", "regret"}
    collector, remembered = run_lifetime(algorithm.collector, BANDITS, params, task, jax.random.key(3))
    np.testing.assert_allclose(lifetime.decision.extras["regret"], -collector.decision.extras["value"])
    np.testing.assert_array_equal(lifetime.outcome.reward, collector.outcome.reward)
    jax.tree.map(np.testing.assert_array_equal, memory, remembered)


@pytest.mark.parametrize(
    ("setting", "distribution", "says"),
    [
        ("subtract_ceiling", dataclasses.replace(BANDITS, ceiling=None), "bernoulli-bandit, which has no ceiling"),
        ("mean_rewards", dataclasses.replace(BANDITS, mean_reward=None), "bernoulli-bandit, which has no mean_reward"),
        ("subtract_ceiling", poles(), "which is not written in JAX"),
        ("mean_rewards", poles(), "which is not written in JAX"),
    ],
)
def test_tasks_that_know_too_little_are_refused_before_a_folder_is_made(setting, distribution, says, tmp_path):
    learner = algorithms.make("rl2", distribution.spec, **{setting: True}, **SMALL)
    with pytest.raises(UsageError, match=says):
        meta_train(learner, distribution, TrainingConfig(budget="1 steps"), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
