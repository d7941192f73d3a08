"""PEARL: the belief, the noise that is held through an episode, the parameters that each loss changes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy import algorithms, tasks
from quickstudy.algorithms.pearl import Learned, PEARLConfig, pearl, replayed_loss, step_factors
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.replay import steps_of
from quickstudy.training.sources import source_for

SMALL = {"hidden_sizes": (8,), "lifetimes": 4, "room": 8, "gradient_steps": 2, "replayed": 4, "steps": 5}
TASKS = {
    "continuous": lambda: tasks.make("point-navigation", horizon=4, episodes=3),
    "discrete": lambda: tasks.make("grid-navigation", size=3, horizon=4, episodes=3),
}


@functools.cache
def ran(kind):
    """Tasks, algorithm, its first state, and four lifetimes `[T, 4]`."""
    distribution = TASKS[kind]()
    algorithm = pearl(distribution.spec, PEARLConfig(**SMALL))
    state = jax.jit(algorithm.init)(jax.random.key(0))
    one = jax.jit(jax.vmap(functools.partial(run_lifetime, algorithm.agent, distribution), (None, 0, 0), (1, 0)))
    goals = distribution.sample_tasks("train", jax.random.key(1), tasks=4)
    lifetimes, memory = one(algorithm.params(state), goals, jax.random.split(jax.random.key(2), 4))
    return distribution, algorithm, state, lifetimes, memory


@pytest.mark.parametrize("kind", slow_but(["continuous"], TASKS))
def test_the_belief_is_the_product_of_the_prior_and_of_the_step_factors(kind):
    distribution, algorithm, state, lifetimes, memory = ran(kind)
    encoder = algorithm.params(state).encoder
    precision, weighted = step_factors(encoder, state.statistics, steps_of(lifetimes), distribution.spec)
    np.testing.assert_allclose(memory.precision, precision.sum(0), rtol=1e-4)
    np.testing.assert_allclose(memory.weighted, weighted.sum(0), rtol=1e-4, atol=1e-5)
    beliefs = lifetimes.decision.extras["belief"]
    np.testing.assert_array_equal(beliefs.mean[0], 0.0)
    np.testing.assert_array_equal(beliefs.log_variance[0], 0.0)
    np.testing.assert_allclose(jnp.exp(-beliefs.log_variance[5]), 1 + precision[:5].sum(0), rtol=1e-4)
    np.testing.assert_allclose(beliefs.mean[5], weighted[:5].sum(0) / (1 + precision[:5].sum(0)), rtol=1e-3, atol=1e-5)


def test_the_noise_is_held_for_an_episode():
    """With the evidence taken away again, the action differs only where the noise does."""
    _, algorithm, state, lifetimes, memory = ran("continuous")
    np.testing.assert_array_equal(memory.episodes, 3)
    agent, params = algorithm.agent, algorithm.params(state)
    one = jax.tree.map(lambda leaf: leaf[:, 0], lifetimes)
    begun = agent.begin(params, jax.random.key(3))
    within, over = (
        agent.adapt(params, begun, jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], one), jax.random.key(0)) for at in (0, 3)
    )
    assert (int(within.episodes), int(over.episodes)) == (0, 1)
    assert float(within.precision.min()) > 0

    def action_mean(memory):
        unaware = dataclasses.replace(memory, precision=begun.precision, weighted=begun.weighted)
        return agent.act(params, unaware, one.observation[0], jax.random.key(5)).extras["policy"].mean

    np.testing.assert_array_equal(action_mean(within), action_mean(begun))
    assert np.abs(action_mean(over) - action_mean(begun)).max() > 1e-6


def gradient(kind, name):
    """The parts of the parameters in which one of the losses has a gradient."""
    distribution, _, state, lifetimes, _ = ran(kind)

    def loss(learned: Learned):
        arguments = (learned, state.targets, state.statistics, steps_of(lifetimes), jax.random.key(4))
        return replayed_loss(*arguments, spec=distribution.spec, config=PEARLConfig(**SMALL))[1][name]

    slope = jax.jit(jax.grad(loss))(state.learned)
    parts = ("encoder", "actor", "critics", "log_temperature")
    return {part for part in parts if any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(getattr(slope, part)))}


@pytest.mark.parametrize("kind", slow_but(["continuous"], TASKS))
def test_each_loss_changes_its_own_parameters(kind):
    assert gradient(kind, "critic_loss") == {"encoder", "critics"}
    assert gradient(kind, "actor_loss") == {"actor"}
    assert gradient(kind, "divergence") == {"encoder"}


def test_memory_is_bounded_and_stated():
    _, algorithm, _, _, _ = ran("continuous")
    distribution = TASKS["continuous"]()
    replay, _ = source_for(algorithm, distribution, tasks=1).initial()
    # Of each step: two observations of two numbers, an action of two, a reward, and two truth values.
    assert replay.bytes == SMALL["room"] * 12 * (4 * (2 + 2 + 2 + 1) + 2)
    assert algorithm.agent.exchangeable


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"room": 3}, "room must hold the 4 lifetimes"),
        ({"hidden_sizes": ()}, "hidden_sizes must name one width or more"),
        ({"target_rate": 1.5}, "target_rate must lie between 0 and 1"),
        ({"steps": 0}, "steps must be above zero"),
    ],
)
def test_bad_settings_are_named(wrong, said):
    with pytest.raises(UsageError, match=said):
        algorithms.make("pearl", ran("continuous")[0].spec, **(SMALL | wrong))
