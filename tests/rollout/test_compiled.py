import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_agents import tally_agent, trace_agent
from laws.toy_distributions import corridor
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import memory_bytes
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.rollout.compiled import check_fit, run_lifetime, run_lifetime_measured


@functools.cache
def recorded():
    """Sixty-four lifetimes of a random agent in the corridor, as NumPy arrays `[lifetimes, T]`."""
    distribution = corridor()
    one = functools.partial(run_lifetime, random_agent(distribution.spec), distribution, ())
    tasks = distribution.sample_tasks("train", jax.random.key(0), tasks=64)
    lifetimes, _ = jax.jit(jax.vmap(one))(tasks, jax.random.split(jax.random.key(1), 64))
    return jax.tree.map(np.asarray, tasks), jax.tree.map(np.asarray, lifetimes)


def test_slots_are_numbered_by_episode():
    _, lifetimes = recorded()
    np.testing.assert_array_equal(lifetimes.episode, np.tile(np.repeat(np.arange(4), 4), (64, 1)))


def test_every_episode_ends_exactly_once_and_nothing_is_valid_after():
    _, lifetimes = recorded()
    by_episode = lambda leaf: leaf.reshape(64 * 4, 4)  # noqa: E731
    valid, boundary = by_episode(lifetimes.valid), by_episode(lifetimes.boundary)
    np.testing.assert_array_equal(boundary.sum(axis=1), 1)
    np.testing.assert_array_equal(valid.sum(axis=1), boundary.argmax(axis=1) + 1)
    assert np.all(valid[:, :-1] >= valid[:, 1:])
    assert not np.any(lifetimes.outcome.terminated & lifetimes.outcome.truncated)
    assert lifetimes.outcome.terminated.any()
    assert lifetimes.outcome.truncated.any()
    # A truncated episode has used all of its steps.
    assert not by_episode(lifetimes.outcome.truncated)[:, :-1].any()


def test_rewards_stand_beside_the_actions_that_they_follow():
    tasks, lifetimes = recorded()
    position = np.round(lifetimes.outcome.observation[..., 0] * 2 + 2)
    pays = np.where(position == np.where(tasks.right[:, None] == 1, 4, 0), 1.0, -0.1)
    np.testing.assert_allclose(lifetimes.outcome.reward, np.where(lifetimes.valid, pays, 0.0), atol=1e-6)


def test_observations_follow_from_the_action_before_and_from_a_reset_at_the_first_slot():
    _, lifetimes = recorded()
    position = np.round(lifetimes.observation[..., 0] * 2 + 2)
    successor = np.round(lifetimes.outcome.observation[..., 0] * 2 + 2)
    moved = np.clip(position + 2 * lifetimes.decision.action - 1, 0, 4)
    np.testing.assert_array_equal(successor[lifetimes.valid], moved[lifetimes.valid])
    first = np.arange(16) % 4 == 0
    follows = lifetimes.valid[:, 1:] & ~first[1:]
    np.testing.assert_array_equal(lifetimes.observation[:, 1:][follows], lifetimes.outcome.observation[:, :-1][follows])
    assert np.all((position[:, first] >= 1) & (position[:, first] <= 3))


@pytest.mark.parametrize("cadence", [1, 4, 8])
def test_what_is_measured_is_of_the_state_before_the_action_and_changes_nothing(cadence):
    distribution = corridor()
    agent = tally_agent(distribution.spec, cadence=cadence)
    params, task, key = agent.init(jax.random.key(0)), distribution.sample("train", jax.random.key(1)), jax.random.key(2)

    def measure(task, state, action):
        return 100.0 * task.right.astype(jnp.float32) + 10.0 * state.astype(jnp.float32) + action.astype(jnp.float32)

    (lifetime, measured), memory = run_lifetime_measured(agent, distribution, params, task, key, measure=measure)
    position = np.round(np.asarray(lifetime.observation)[..., 0] * 2 + 2)
    expected = 100 * np.asarray(task.right) + 10 * position + np.asarray(lifetime.decision.action)
    np.testing.assert_array_equal(np.asarray(measured)[lifetime.valid], expected[lifetime.valid])
    jax.tree.map(np.testing.assert_array_equal, (lifetime, memory), run_lifetime(agent, distribution, params, task, key))


def test_the_last_observation_of_an_episode_is_the_true_one():
    _, lifetimes = recorded()
    ends = np.round(lifetimes.outcome.observation[..., 0] * 2 + 2)[lifetimes.outcome.terminated]
    assert set(ends) == {0.0, 4.0}


def test_memory_passes_through_the_end_of_an_episode():
    distribution = corridor()
    agent = tally_agent(distribution.spec)
    task = distribution.sample("train", jax.random.key(0))
    lifetime, memory = jax.jit(functools.partial(run_lifetime, agent, distribution))(jnp.float32(1.0), task, jax.random.key(1))
    assert float(memory.taken.sum()) == int(lifetime.valid.sum())
    np.testing.assert_allclose(memory.reward.sum(), lifetime.outcome.reward.sum(), rtol=1e-5)


def test_two_agents_that_act_alike_meet_the_same_randomness():
    distribution = corridor()
    task, key = distribution.sample("train", jax.random.key(0)), jax.random.key(1)
    always_right = dataclasses.replace(
        random_agent(distribution.spec),
        act=lambda params, memory, observation, key: dataclasses.replace(
            random_agent(distribution.spec).act(params, memory, observation, key), action=jnp.int32(1)
        ),
    )
    slower = dataclasses.replace(always_right, cadence=8)
    one, _ = jax.jit(functools.partial(run_lifetime, always_right, distribution))((), task, key)
    other, _ = jax.jit(functools.partial(run_lifetime, slower, distribution))((), task, key)
    np.testing.assert_array_equal(one.observation, other.observation)
    np.testing.assert_array_equal(one.outcome.reward, other.outcome.reward)


def test_agents_for_other_tasks_are_turned_away_with_what_differs():
    with pytest.raises(SpecError, match="horizon: agent 2, tasks 4"):
        run_lifetime(random_agent(corridor(horizon=2).spec), corridor(), (), None, jax.random.key(0))


def test_a_cadence_that_cuts_episodes_is_turned_away():
    distribution = corridor(horizon=4, episodes=3)
    with pytest.raises(SpecError, match="cadence 6 and horizon 4"):
        run_lifetime(trace_agent(distribution.spec, cadence=6), distribution, (), None, jax.random.key(0))


def test_memory_is_counted_in_bytes():
    assert memory_bytes(trace_agent(corridor().spec, size=5)) == 5 * 4 + 4


def test_other_tasks_are_named_in_few_words():
    """Hundreds of bounds are not written out."""
    action = gymnasium.spaces.Discrete(2)
    made, given = (
        Spec(observation_space=gymnasium.spaces.Box(-1.0, 1.0, (size,)), action_space=action, horizon=1, episodes=2)
        for size in (200, 300)
    )
    with pytest.raises(SpecError, match=r"made for other tasks.*'shape': \[200\].*'shape': \[300\]") as found:
        check_fit(random_agent(made), given)
    assert len(str(found.value)) < 400
