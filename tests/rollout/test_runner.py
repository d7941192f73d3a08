"""All of one lifetime: the one that the rewards are of, the same in JAX and outside, with what decisions hold."""

import jax
import numpy as np
import pytest

import quickstudy as qs
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import CollectingError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.runner import Runner
from rollout.collecting.environments import FAULTS, slides
from rollout.collecting.from_jax import as_host

INLINE = CollectingConfig(collectors="inline", parallel_environments=1)
BANDITS = qs.tasks.make("bernoulli-bandit", arms=3, pulls=8)
AGENT = BANDITS.baselines["Thompson sampling"]()
PARAMS = AGENT.init(jax.random.key(0))
TASKS, KEYS = BANDITS.sample_tasks("test", jax.random.key(1), tasks=1), jax.random.split(jax.random.key(2), 1)
TASK = jax.tree.map(lambda leaf: leaf[0], TASKS)


@pytest.mark.parametrize("distribution", [BANDITS, as_host(BANDITS)], ids=["in JAX", "outside"])
def test_the_lifetime_is_the_one_that_rewards_are_of(distribution):
    with Runner(distribution, INLINE) as runner:
        lifetime = runner.record(AGENT, PARAMS, TASK, KEYS[0])
        rewards = runner.run(AGENT, PARAMS, TASKS, KEYS)
    np.testing.assert_array_equal(lifetime.outcome.reward, rewards.reward[0])
    assert lifetime.valid.all()
    assert jax.tree.leaves(lifetime.decision.extras["belief"].mean)[0].shape == (8, 3, 2)


def test_it_is_the_same_in_jax_and_outside():
    with Runner(BANDITS) as inside, Runner(as_host(BANDITS), INLINE) as outside:
        first, second = (runner.record(AGENT, PARAMS, TASK, KEYS[0]) for runner in (inside, outside))
    np.testing.assert_array_equal(first.decision.action, second.decision.action)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_lifetime_that_is_lost_is_said():
    distribution = slides()
    agent = random_agent(distribution.spec)
    task = distribution.sample_tasks("train", jax.random.key(1), tasks=1)
    task["fault"][:] = FAULTS.index("make")
    with Runner(distribution, INLINE) as runner, pytest.raises(CollectingError, match="lifetimes were lost"):
        runner.record(agent, agent.init(jax.random.key(0)), jax.tree.map(lambda leaf: leaf[0], task), KEYS[0])
