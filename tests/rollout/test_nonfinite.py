"""Numbers that are none reach no memory."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close
from laws.toy_distributions import aiming
from quickstudy import algorithms
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.records import Spec
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import with_nonfinite_guard


@pytest.fixture(scope="module")
def lived():
    """A recurrent agent, guarded, and a lifetime of its own."""
    distribution = aiming()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8).agent
    params, guarded = agent.init(jax.random.key(0)), with_nonfinite_guard(agent)
    task = distribution.sample("train", jax.random.key(1))
    lifetime, memory = run_lifetime(guarded, distribution, params, task, jax.random.key(2))
    return agent, guarded, params, lifetime, memory


@pytest.mark.slow
def test_sound_evidence_passes(lived):
    agent, _, params, lifetime, memory = lived
    plain, decisions = jax.jit(agent.unroll)(params, lifetime, jax.random.split(jax.random.key(2))[0])
    assert_close(memory.memory, plain)
    assert_close(lifetime.decision.action, decisions.action)
    assert memory.masked == 0
    assert not np.any(lifetime.decision.extras["nonfinite_steps"]["now"])


@pytest.mark.parametrize("number", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("where", ["reward", "observation", "successor"])
def test_a_step_with_a_bad_number_is_as_if_it_had_not_happened(lived, number, where):
    _, guarded, params, lifetime, _ = lived
    step = jax.tree.map(lambda leaf: leaf[3:4], lifetime)
    spoilt = {
        "reward": dataclasses.replace(step, outcome=dataclasses.replace(step.outcome, reward=step.outcome.reward * number)),
        "observation": dataclasses.replace(step, observation=step.observation.at[..., 0].set(number)),
        "successor": dataclasses.replace(
            step,
            outcome=dataclasses.replace(step.outcome, observation=step.outcome.observation.at[..., 0].set(number)),
        ),
    }[where]
    memory = guarded.begin(params, jax.random.key(0))
    after = guarded.adapt(params, memory, spoilt, jax.random.key(0))
    assert_close(after.memory, memory.memory, tolerance=0)
    assert after.masked == 1
    assert np.isfinite(after.last_finite).all()


def test_a_bad_observation_is_mended_with_what_was_seen_last(lived):
    agent, guarded, params, lifetime, _ = lived
    step = jax.tree.map(lambda leaf: leaf[:1], lifetime)
    memory = guarded.adapt(params, guarded.begin(params, jax.random.key(0)), step, jax.random.key(0))
    last = step.outcome.observation[0]
    decision = guarded.act(params, memory, last.at[0].set(jnp.nan), jax.random.key(1))
    assert_close(decision.action, agent.act(params, memory.memory, last, jax.random.key(1)).action, tolerance=0)
    assert decision.extras["nonfinite_steps"]["now"]


def test_pictures_keep_their_type():
    """Whole numbers of any kind are never mended, and stay what they are."""
    pictures = gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)
    spec = Spec(observation_space=pictures, action_space=gymnasium.spaces.Discrete(2), horizon=3, episodes=1)
    guarded = with_nonfinite_guard(random_agent(spec))
    memory = guarded.begin((), jax.random.key(0))
    assert memory.last_finite.dtype == jnp.uint8
    decision = guarded.act((), memory, jnp.full((4, 4, 3), 200, jnp.uint8), jax.random.key(1))
    assert not decision.extras["nonfinite_steps"]["now"]
