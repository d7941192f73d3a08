"""An agent without memory: what it knows begins anew at every episode, or at every step, and nothing else changes."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation.without_memory import without_memory
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime


def tasks_of(*, horizon, episodes):
    """Every episode ends after three steps, or at the horizon; every step pays the action."""
    space = gymnasium.spaces.Discrete(16)
    spec = Spec(observation_space=space, action_space=space, horizon=horizon, episodes=episodes)

    def step(task, state, action, key):
        del task, key
        no = jnp.asarray(False)
        outcome = Outcome(observation=state + 1, reward=action.astype(jnp.float32), terminated=state == 2, truncated=no)
        return state + 1, outcome

    return TaskDistribution(
        spec=spec,
        sample=lambda split, key: jax.random.uniform(key),
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=step,
        describe=lambda task: {},
    )


def counting(spec, *, cadence):
    """An agent that acts by the number of steps that it remembers."""
    return Agent(
        spec=spec,
        init=lambda key: jnp.zeros(1),
        begin=lambda params, key: jnp.int32(0),
        act=lambda params, memory, observation, key: Decision(action=memory, extras={}),
        adapt=lambda params, memory, experience, key: memory + experience.valid.sum().astype(jnp.int32),
        cadence=cadence,
    )


CASES = {
    "whole episodes": (4, 3, 1, [0, 1, 2, None] * 3),
    "chunks within an episode": (4, 3, 2, [0, 0, 2, None] * 3),
    "chunks of several episodes": (2, 4, 4, [0, 0] * 4),
    "one long episode": (3, 1, 1, [0, 0, 0]),
    "episodes of one step": (1, 5, 1, [0] * 5),
    "chunks of steps": (1, 6, 3, [0] * 6),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_holds_what_happened_since_it_began_anew(case):
    horizon, episodes, cadence, expected = CASES[case]
    tasks = tasks_of(horizon=horizon, episodes=episodes)
    agent = without_memory(counting(tasks.spec, cadence=cadence))
    run = jax.jit(lambda key: run_lifetime(agent, tasks, jnp.zeros(1), jnp.float32(0), key)[0])
    lifetime = run(jax.random.key(0))
    seen = [int(a) if v else None for a, v in zip(lifetime.decision.action, lifetime.valid, strict=True)]
    assert seen == expected


def test_the_first_episode_is_the_agents_own_and_every_beginning_draws_anew():
    tasks = tasks_of(horizon=4, episodes=6)

    def begin(params, key):
        return jax.random.uniform(key)

    def act(params, memory, observation, key):
        return Decision(action=jax.random.randint(key, (), 0, 16), extras={"began": memory})

    agent = Agent(
        spec=tasks.spec,
        init=lambda key: jnp.zeros(1),
        begin=begin,
        act=act,
        adapt=lambda params, memory, experience, key: memory + jax.random.uniform(key),
    )

    def began(agent):
        run = jax.jit(lambda key: run_lifetime(agent, tasks, jnp.zeros(1), jnp.float32(0), key)[0])
        return np.asarray(run(jax.random.key(1)).decision.extras["began"])

    whole, anew = began(agent), began(without_memory(agent))
    assert (whole[:3] == anew[:3]).all()
    assert len(np.unique(anew[::4])) == 6
    assert (np.diff(whole[[0, 1, 2, 4, 5, 6]]) > 0).all()
    assert anew.max() < 3
