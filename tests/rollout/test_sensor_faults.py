"""Senses that fail between the world and the agent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close
from laws.toy_distributions import aiming
from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.sensor_faults import with_sensor_faults


@pytest.fixture(scope="module")
def healthy():
    """A recurrent agent and its tasks."""
    distribution = aiming()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8).agent
    return distribution, agent, agent.init(jax.random.key(0))


def lived(agent, distribution, params):
    task = distribution.sample("train", jax.random.key(1))
    return run_lifetime(agent, distribution, params, task, jax.random.key(2))


@pytest.mark.slow
def test_sound_senses_change_nothing(healthy):
    distribution, agent, params = healthy
    lifetime, memory = lived(with_sensor_faults(agent), distribution, params)
    plain, remembered = lived(agent, distribution, params)
    assert_close(lifetime.decision.action, plain.decision.action)
    assert_close(memory.memory.memory, remembered)


def test_rewards_go_missing_as_often_as_asked_and_are_set_apart():
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=1000)
    agent = distribution.baselines["Thompson sampling"]()
    _, memory = lived(with_sensor_faults(agent, missing=0.3), distribution, agent.init(jax.random.key(0)))
    seen = int(memory.memory.memory.pulls.sum())
    assert abs(seen - 700) < 4 * np.sqrt(1000 * 0.3 * 0.7)
    assert int(memory.memory.masked) == 1000 - seen


def test_one_reading_is_both_successor_and_next_observation(healthy):
    """The agent that is asked what it saw: noise of a successor is the noise of the observation that follows."""
    distribution, agent, params = healthy
    heard = []

    def act(params, memory, observation, key):
        heard.append(("act", observation))
        return agent.act(params, memory, observation, key)

    def adapt(params, memory, experience, key):
        heard.append(("adapt", experience))
        return agent.adapt(params, memory, experience, key)

    listening = with_sensor_faults(
        type(agent)(spec=agent.spec, init=agent.init, begin=agent.begin, act=act, adapt=adapt), noise=0.5
    )
    lifetime, _ = lived(agent, distribution, params)
    memory = listening.begin(params, jax.random.key(0))
    for slot in (0, 1):
        step = jax.tree.map(lambda leaf, slot=slot: leaf[slot : slot + 1], lifetime)
        listening.act(params, memory, step.observation[0], jax.random.key(1))
        memory = listening.adapt(params, memory, step, jax.random.key(1))
    (_, first), (_, before), (_, second), (_, after) = heard
    assert_close(before.observation[0], first, tolerance=3e-7)
    # Noise is added by two programs, one of many steps and one of one step; they may round the last bit differently.
    assert_close(before.outcome.observation[0], second, tolerance=3e-7)
    assert_close(after.observation[0], second, tolerance=3e-7)
    assert 0.01 < jnp.abs(first - lifetime.observation[0]).mean() < 2.0


def test_what_cannot_be_is_refused(healthy):
    _, agent, _ = healthy
    with pytest.raises(UsageError, match=r"missing must lie within \[0, 1\)"):
        with_sensor_faults(agent, missing=1.0)
    spec = tasks.make("grid-navigation").spec
    with pytest.raises(UsageError, match="real numbers"):
        with_sensor_faults(algorithms.make("rl2", spec, hidden_size=8).agent, noise=0.1)
