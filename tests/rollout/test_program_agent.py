"""An agent that runs by its programs is the agent."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.protocol.agent import derived_unroll
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.program_agent import program_agent
from quickstudy.rollout.step_programs import step_programs
from quickstudy.storage.bundle import load_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = ["quick-n10-k5", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pendulum-rl2", "drifting-control-pearl"))]


@pytest.mark.parametrize("name", NAMES)
def test_it_decides_on_a_recorded_lifetime_what_the_agent_decides(name):
    bundle = load_bundle(BUNDLES / name)
    agent, params, world = with_nonfinite_guard(bundle.agent), bundle.params_of(0), bundle.distribution()
    key_task, key = jax.random.split(jax.random.key(3))
    run = jax.jit(lambda task, key: run_lifetime(agent, world, params, task, key)[0])
    lifetime, key = run(world.sample("test", key_task), key), jax.random.split(key)[0]
    other = program_agent(agent, step_programs(agent, params))
    memory, decisions = jax.jit(derived_unroll(agent))(params, lifetime, key)
    memory_of_programs, by_programs = jax.jit(derived_unroll(other))(params, lifetime, key)
    for name, numbers in by_programs.extras.items():
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), numbers, decisions.extras[name])
    same = np.isclose(by_programs.action, decisions.action, rtol=1e-4, atol=1e-4).mean()
    assert same > 0.99  # rounding may decide between two actions
    words = lambda leaf: jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf  # noqa: E731
    jax.tree.map(lambda a, b: np.testing.assert_allclose(words(a), words(b), rtol=1e-4, atol=1e-4), memory_of_programs, memory)


def test_a_step_that_is_not_valid_changes_nothing():
    bundle = load_bundle(BUNDLES / "quick-n10-k5")
    agent, params, world = with_nonfinite_guard(bundle.agent), bundle.params_of(0), bundle.distribution()
    key = jax.random.key(0)
    lifetime = jax.jit(lambda key: run_lifetime(agent, world, params, world.sample("test", key), key)[0])(key)
    other = program_agent(agent, step_programs(agent, params))
    first = jax.tree.map(lambda leaf: leaf[:1], lifetime)
    memory = agent.begin(params, key)
    adapt = jax.jit(other.adapt)
    taken = adapt(params, memory, first, key)
    masked = adapt(params, memory, dataclasses.replace(first, valid=jnp.zeros(1, bool)), key)
    assert not np.array_equal(taken.memory, memory.memory)
    jax.tree.map(np.testing.assert_array_equal, masked, memory)
