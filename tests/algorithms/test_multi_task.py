"""PPO from scratch and the policy for all tasks: what memory holds, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.algorithms.multi_task import MultiTaskConfig, multi_task
from quickstudy.baselines.ppo import PPOConfig, ppo_agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.settings import with_settings
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.navigation.point_navigation import point_navigation
from quickstudy.tasks.privileged import privileged

SMALL = {"hidden_sizes": (8,), "rollouts": 2, "epochs": 2, "minibatches": 2}


def made(kind, **settings):
    """A configuration with these settings by their flat names."""
    return with_settings(kind(), settings, of=kind.__name__)


def test_from_scratch_begins_anew_each_time_and_has_no_parameters():
    spec = point_navigation(horizon=5, episodes=4).spec
    agent = ppo_agent(spec, made(PPOConfig, **SMALL))
    assert jax.tree.leaves(agent.init(jax.random.key(0))) == []
    one, other = (agent.begin(None, jax.random.key(seed)).network.head.weight for seed in (0, 1))
    assert np.abs(one - other).max() > 0


def test_fine_tuning_begins_where_training_ended_and_then_moves():
    distribution = point_navigation(horizon=5, episodes=4)
    for fine_tunes in (True, False):
        algorithm = multi_task(distribution.spec, made(MultiTaskConfig, **SMALL, fine_tunes=fine_tunes))
        params = algorithm.agent.init(jax.random.key(0))
        task = distribution.sample("train", jax.random.key(1))
        _, memory = run_lifetime(algorithm.agent, distribution, params, task, jax.random.key(2))
        begun = algorithm.agent.begin(params, jax.random.key(3)).network.head.weight
        np.testing.assert_array_equal(begun, params.head.weight)
        assert (np.abs(memory.network.head.weight - begun).max() > 0) == fine_tunes


@pytest.mark.learning
def test_from_scratch_learns_to_go_to_its_goal():
    distribution = point_navigation(reward="distance", horizon=20, episodes=400)
    agent = ppo_agent(distribution.spec, made(PPOConfig, hidden_sizes=(32,), rollouts=10, learning_rate=3e-3))
    task = dataclasses.replace(distribution.sample("train", jax.random.key(0)), goal=jnp.array([0.4, -0.3]))
    lifetime, _ = jax.jit(lambda key: run_lifetime(agent, distribution, None, task, key))(jax.random.key(1))
    returns = np.asarray(lifetime.outcome.reward).reshape(400, 20).sum(1)
    print(returns[:20].mean(), returns[-20:].mean())
    knows = float(distribution.ceiling(task)) / 400
    assert returns[-20:].mean() - returns[:20].mean() > 0.6 * (knows - returns[:20].mean())


def test_what_does_not_fit_is_named():
    spec = point_navigation(horizon=5, episodes=4).spec
    with pytest.raises(SpecError, match=r"episodes of a lifetime \(4\); came 3"):
        ppo_agent(spec, made(PPOConfig, rollouts=3))
    with pytest.raises(SpecError, match="10 steps of the rollouts; came 4"):
        ppo_agent(spec, made(PPOConfig, rollouts=2, minibatches=4))
    with pytest.raises(SpecError, match="rollouts must be 2 or more"):
        ppo_agent(point_navigation(horizon=1, episodes=4).spec, made(PPOConfig, rollouts=1))
    with pytest.raises(UsageError, match="epochs must be above zero; came 0"):
        made(PPOConfig, epochs=0)
    with pytest.raises(UsageError, match="meta_learning_rate must be above zero"):
        made(MultiTaskConfig, meta_learning_rate=0.0)


def test_privileged_tasks_are_the_same_tasks_with_their_numbers_in_the_observation():
    plain = point_navigation(horizon=5, episodes=4)
    seen = privileged(plain)
    key = jax.random.key(0)
    task = seen.sample("test", key)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), task, plain.sample("test", key)))
    state, observation = seen.reset(task, key)
    assert observation.shape == seen.spec.observation_space.shape == (6,)
    np.testing.assert_allclose(observation[2:4], task.goal)
    _, outcome = seen.step(task, state, jnp.array([0.1, 0.0]), key)
    np.testing.assert_allclose(outcome.observation[:4], jnp.concatenate([jnp.array([0.1, 0.0]), task.goal]))
    assert set(seen.shown) == {"goal", "strength", "turn"}
