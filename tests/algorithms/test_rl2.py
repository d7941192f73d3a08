"""RL²'s choices that depend on the tasks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, entropy_bonus, entropy_bonuses
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


def test_the_entropy_counts_more_early_in_a_lifetime_and_early_in_training():
    """At first 0.05 (1 + 16 / (1 + t)); after a quarter of the budget 0.05 (3/4 + 8 / (1 + t)); after half of it 0.025."""
    spec, steps = tasks.make("bernoulli-bandit").spec, 4
    for progress, expected in (
        (0.0, [0.85, 0.45, 0.95 / 3, 0.25]),
        (0.25, [0.4375, 0.2375, 0.5125 / 3, 0.1375]),
        (0.5, [0.025] * 4),
    ):
        bonuses = entropy_bonuses(spec, LifetimePPOConfig(), progress=progress, steps=steps)
        np.testing.assert_allclose(bonuses, expected, rtol=1e-6)
    given = LifetimePPOConfig(early_exploration=2.0, entropy_bonus=0.5)
    np.testing.assert_allclose(entropy_bonuses(spec, given, progress=0.0, steps=2), [1.5, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("bernoulli-bandit", LifetimePPOConfig(teacher="gittins-index")),
        ("bernoulli-bandit", LifetimePPOConfig(early_exploration=0.0)),
        ("dependent-bandit", LifetimePPOConfig()),
        ("tabular-mdp", LifetimePPOConfig()),
        ("point-navigation", LifetimePPOConfig()),
    ],
)
def test_the_entropy_counts_alike_at_all_steps_with_a_teacher_long_episodes_or_numbers_as_actions(name, config):
    bonuses = entropy_bonuses(tasks.make(name).spec, config, progress=0.0, steps=3)
    np.testing.assert_array_equal(bonuses, bonuses[0])


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
