"""The law of action masks: no agent chooses an action that the task forbids, whatever the agent is."""

import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.cases import SMALL_ALGORITHMS
from laws.toy_distributions import corridor, shop
from marks import slow_but
from quickstudy import algorithms
from quickstudy.baselines.bandits.epsilon_greedy import epsilon_greedy_agent
from quickstudy.baselines.bandits.thompson import thompson_agent
from quickstudy.baselines.bandits.ucb1 import ucb1_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, spec_from_description
from quickstudy.rollout.compiled import run_lifetime

DISTRIBUTION = shop()
LIFETIMES = 8


def stubborn_agent(spec):
    """Wants the first action at every step, and knows no mask."""
    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.zeros(()),
        act=lambda params, memory, observation, key: Decision(action=jnp.int32(0), extras={}),
        adapt=lambda params, memory, experience, key: memory,
    )


BASELINES = {make.__name__: make for make in (random_agent, ucb1_agent, thompson_agent, epsilon_greedy_agent, stubborn_agent)}
LEARNED = {
    " ".join([name, *(str(value) for value in config.values())]): (name, config)
    for name, configs in SMALL_ALGORITHMS.items()
    for config in (configs if name == "rl2" else configs[:1])
}


def lived(agent):
    params = agent.init(jax.random.key(0))
    run = jax.vmap(functools.partial(run_lifetime, agent, DISTRIBUTION), (None, 0, 0))
    tasks = DISTRIBUTION.sample_tasks("train", jax.random.key(1), tasks=LIFETIMES)
    return params, jax.jit(run)(params, tasks, jax.random.split(jax.random.key(2), LIFETIMES))[0]


def check_allowed(lifetimes):
    allowed = np.asarray(DISTRIBUTION.spec.allowed(lifetimes.observation))
    assert not allowed.all(), "nothing was forbidden"
    chosen = np.take_along_axis(allowed, np.asarray(lifetimes.decision.action)[..., None], -1)[..., 0]
    assert chosen[np.asarray(lifetimes.valid)].all()


@pytest.mark.parametrize("name", slow_but(["random_agent", "stubborn_agent"], BASELINES))
def test_a_baseline_chooses_allowed_actions(name):
    check_allowed(lived(BASELINES[name](DISTRIBUTION.spec))[1])


@pytest.mark.parametrize("name", slow_but(["rl2 gru 8"], LEARNED))
def test_a_learned_agent_chooses_allowed_actions_and_knows_their_probabilities(name):
    algorithm, config = LEARNED[name]
    agent = algorithms.make(algorithm, DISTRIBUTION.spec, **config).agent
    params, lifetimes = lived(agent)
    check_allowed(lifetimes)
    time_major = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), lifetimes)
    decisions = agent.unroll(params, time_major, jax.random.split(jax.random.key(2), LIFETIMES))[1]
    logits = np.asarray(decisions.extras["policy"].logits)
    allowed = np.asarray(DISTRIBUTION.spec.allowed(time_major.observation))
    np.testing.assert_allclose(np.exp(np.where(allowed, logits, -np.inf)).sum(-1), 1, atol=1e-4)


def test_the_best_allowed_arm_is_pulled_and_not_any_allowed_one():
    agent = ucb1_agent(DISTRIBUTION.spec)
    memory = agent.begin((), jax.random.key(0))
    memory = dataclasses.replace(memory, successes=jnp.int32([9, 5, 1, 0]), failures=jnp.int32([0, 4, 8, 9]))
    act = lambda mask: int(agent.act((), memory, jnp.float32([1, *mask]), jax.random.key(0)).action)  # noqa: E731
    assert [act(mask) for mask in ((1, 1, 1, 1), (0, 1, 1, 1), (0, 0, 1, 1))] == [0, 1, 2]


def test_a_mask_is_part_of_the_spec_and_needs_room():
    spec = DISTRIBUTION.spec
    assert spec_from_description(spec.describe()) == spec
    assert "action_mask" not in corridor().spec.describe()
    for wrong in (gymnasium.spaces.Box(0, 1, (3,)), gymnasium.spaces.Discrete(9)):
        with pytest.raises(SpecError, match="action_mask needs Discrete actions"):
            dataclasses.replace(spec, observation_space=wrong)
    free = Spec(
        observation_space=gymnasium.spaces.Discrete(2), action_space=gymnasium.spaces.Discrete(3), horizon=1, episodes=1
    )
    assert free.allowed(jnp.zeros((5,), jnp.int32)).shape == (5, 3)
