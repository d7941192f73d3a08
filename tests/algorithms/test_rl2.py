"""RL²'s choices that depend on the tasks."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from quickstudy import tasks
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, entropy_bonus
from quickstudy.algorithms.rl2 import RL2Config, rl2
from quickstudy.networks.memory_network import MemoryNetworkConfig
from quickstudy.networks.reward_change import RewardChangeCore
from quickstudy.numerics.returns import returns_to_go
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.training.lifetime_source import collected
from quickstudy.training.update import apply_update


@pytest.mark.parametrize(("name", "suits"), [("bernoulli-bandit", 0.05), ("point-navigation", 0.003)])
def test_the_entropy_bonus_suits_the_actions_unless_it_is_given(name, suits):
    spec = tasks.make(name).spec
    assert entropy_bonus(spec, LifetimePPOConfig()) == suits
    for given in (0.0, 0.2):
        assert entropy_bonus(spec, LifetimePPOConfig(entropy_bonus=given)) == given


@pytest.mark.parametrize(("name", "suits"), [("bernoulli-bandit", False), ("point-navigation", True)])
def test_how_rewards_change_is_read_where_actions_are_continuous_unless_it_is_said(name, suits):
    spec = tasks.make(name).spec
    for given, expected in ((None, suits), (False, False), (True, True)):
        params = rl2(spec, RL2Config(network=MemoryNetworkConfig(reward_change=given))).agent.init(jax.random.key(0))
        assert isinstance(params.network.core, RewardChangeCore) is expected
        assert (params.statistics.change is not None) is expected


def in_units_of(distribution, unit):
    """The same tasks, paid in another unit."""

    def step(task, state, action, key):
        state, outcome = distribution.step(task, state, action, key)
        return state, dataclasses.replace(outcome, reward=unit * outcome.reward)

    return dataclasses.replace(distribution, step=step)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_values_are_of_the_size_of_returns_from_the_first_updates_on(unit):
    """What is learned before any scale is known must not be multiplied by the first one."""
    distribution = in_units_of(tasks.make("bernoulli-bandit", arms=2, pulls=50), unit)
    algorithm = rl2(
        distribution.spec,
        RL2Config(network=MemoryNetworkConfig(hidden_size=16), ppo=LifetimePPOConfig(lifetimes=64, learning_rate=3e-3)),
    )

    @jax.jit
    def lived(state, key):
        keys = jax.random.split(key, (algorithm.lifetimes, 2))
        one = lambda key: run_lifetime(  # noqa: E731
            algorithm.agent, distribution, algorithm.params(state), distribution.sample("train", key[0]), key[1]
        )[0]
        return jax.vmap(one, 0, 1)(keys)

    def one(state, lifetimes, progress, key):
        return apply_update(algorithm, state, collected(lifetimes), progress, key)[0]

    update = jax.jit(jax.vmap(one, axis_name="lifetimes"))
    state = algorithm.init(jax.random.key(0))
    for number in range(12):
        lifetimes = lived(state, jax.random.fold_in(jax.random.key(1), number))
        stacked = jax.tree.map(lambda leaf: leaf[None], (state, lifetimes, jnp.float32(0)))
        state = jax.tree.map(lambda leaf: leaf[0], update(*stacked, jax.random.key(number)[None]))
        if number:
            value = lifetimes.decision.extras["value"]
            returns = returns_to_go(lifetimes.outcome.reward, lifetimes.valid, discount=algorithm.config.ppo.discount)
            assert jnp.abs(value.mean() - returns.mean()) < 0.9 * returns.mean(), number
    assert jnp.abs(value.mean() - returns.mean()) < 0.3 * returns.mean()
