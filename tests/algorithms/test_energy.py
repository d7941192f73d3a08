"""Energy-based task inference: what contrasts ask for, what they do not, and what moves what."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.algorithms.energy import ContrastConfig, contrastive_loss, evidence_along
from quickstudy.networks.energy import EnergyNetworkConfig
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.protocol.agent import memory_bytes
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime

GRID = tasks.make("grid-navigation", size=3, horizon=4, episodes=2)
SMALL = {"hidden_size": 8, "ridges": 4, "particles": 4, "step_sizes": (8,), "moments": 3}


@functools.cache
def lived(lifetimes=6):
    """Parameters, and lifetimes `[T, lifetimes]`."""
    algorithm = algorithms.make("energy", GRID.spec, **SMALL)
    params = jax.jit(algorithm.agent.init)(jax.random.key(0))
    goals = GRID.sample_tasks("train", jax.random.key(1), tasks=lifetimes)
    one = jax.jit(jax.vmap(functools.partial(run_lifetime, algorithm.agent, GRID), (None, 0, 0), (1, 0)))
    return params, one(params, goals, jax.random.split(jax.random.key(2), lifetimes))[0]


def losses(params, lifetimes, **settings):
    config = algorithms.make("energy", GRID.spec, **SMALL | settings).config

    def of(params, lifetimes):
        evidence, _ = evidence_along(params, lifetimes, GRID.spec, config.network)
        return contrastive_loss(params, evidence, lifetimes, jax.random.key(3), spec=GRID.spec, config=config)

    return jax.jit(of)(params, lifetimes)


def with_outcome(lifetimes, **changed):
    return dataclasses.replace(lifetimes, outcome=dataclasses.replace(lifetimes.outcome, **changed))


@pytest.mark.slow
def test_what_is_told_apart_is_what_was_asked_for():
    params, lifetimes = lived()
    assert set(losses(params, lifetimes)) == {"reward_contrast", "observation_contrast"}
    assert set(losses(params, lifetimes, contrasts="rewards")) == {"reward_contrast"}
    assert set(losses(params, lifetimes, contrasts="observations")) == {"observation_contrast"}


def test_outcomes_that_are_equal_cannot_be_told_apart_and_teach_nothing():
    params, lifetimes = lived()
    same = with_outcome(lifetimes, reward=jnp.ones_like(lifetimes.outcome.reward))
    reward_contrast = lambda params: losses(params, same, contrasts="rewards")["reward_contrast"]  # noqa: E731
    value, slope = jax.jit(jax.value_and_grad(reward_contrast))(params)
    assert value == 0
    assert not any(np.abs(leaf).any() for leaf in jax.tree.leaves(slope.network))


@pytest.mark.slow
def test_no_more_lifetimes_are_shown_than_there_are():
    params, lifetimes = lived()
    few = jax.tree.map(lambda leaf: leaf[:, :2], lifetimes)
    assert 0 < losses(params, few)["observation_contrast"] < np.log(2) + 0.5
    alone = jax.tree.map(lambda leaf: leaf[:, :1], lifetimes)
    assert losses(params, alone) == {"reward_contrast": 0, "observation_contrast": 0}


def test_what_did_not_happen_is_neither_told_nor_shown():
    params, lifetimes = lived()
    absent = dataclasses.replace(lifetimes, valid=lifetimes.valid.at[:, 0].set(False))
    changed = with_outcome(absent, reward=absent.outcome.reward.at[:, 0].set(7.0))
    for name, value in losses(params, absent).items():
        np.testing.assert_allclose(value, losses(params, changed)[name], rtol=1e-6)


def test_the_belief_moves_with_what_was_lived_and_whatever_its_order():
    params, lifetimes = lived()
    agent, keys = algorithms.make("energy", GRID.spec, **SMALL).agent, jax.random.split(jax.random.key(9), 6)
    memory, decisions = agent.unroll(params, lifetimes, keys)
    belief = decisions.extras["belief"]
    assert np.abs(belief.mean[-1] - belief.mean[0]).max() > 0
    again, _ = agent.unroll(params, jax.tree.map(lambda leaf: leaf[::-1], lifetimes), keys)
    for one, other in zip(jax.tree.leaves(memory), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_array_equal(memory.steps, GRID.spec.lifetime_steps)
    np.testing.assert_array_equal(memory.episodes, GRID.spec.episodes)


def test_memory_has_one_size_however_long_a_life_is():
    longer = tasks.make("grid-navigation", size=3, horizon=4, episodes=50)
    sizes = [memory_bytes(algorithms.make("energy", which.spec, **SMALL).agent) for which in (GRID, longer)]
    assert sizes[0] == sizes[1] == 4 * (2 * 5 + 4 + 2)


@pytest.mark.parametrize("moves", [False, True])
def test_the_policy_moves_the_energy_only_if_it_may(moves):
    params, lifetimes = lived()
    agent = algorithms.make("energy", GRID.spec, **SMALL, policy_moves_energy=moves).agent
    keys = jax.random.split(jax.random.key(9), 6)

    def likely(params):
        policy = agent.unroll(params, lifetimes, keys)[1].extras["policy"]
        return policy.log_probability(lifetimes.decision.action).sum()

    slope = jax.jit(jax.grad(likely))(params).network
    assert (np.abs(slope.per_step.head.weight).max() > 0) == moves
    assert (np.abs(slope.directions).max() > 0) == moves
    assert np.abs(slope.policy.weight).max() > 0


def test_every_part_of_the_energy_is_moved_by_the_contrast():
    params, lifetimes = lived()
    slope = jax.jit(jax.grad(lambda params: sum(losses(params, lifetimes).values())))(params).network
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves((slope.per_step, slope.directions, slope.offsets)))
    assert not any(np.abs(leaf).any() for leaf in jax.tree.leaves((slope.policy, slope.value, slope.from_particle)))


@pytest.mark.learning
def test_contrasts_find_the_task():
    """One number tells tasks apart, and a step pays it: the belief learns to predict which reward is the task's own."""
    params, lifetimes = lived(64)
    own = jax.random.normal(jax.random.key(5), (1, 64))
    paid = with_outcome(lifetimes, reward=jnp.broadcast_to(own, lifetimes.valid.shape))
    settings = {"contrasts": "rewards", "moments": 8}

    adam = clipped_adam(10.0)

    def descended(carry, key):
        network, moments = carry
        slope = jax.grad(lambda network: predicts(network, key))(network)
        return descend(adam, slope, moments, network, rate=0.01), None

    def predicts(network, key):
        config = algorithms.make("energy", GRID.spec, **SMALL | settings).config
        moved = dataclasses.replace(params, network=network)
        evidence, _ = evidence_along(moved, paid, GRID.spec, config.network)
        return contrastive_loss(moved, evidence, paid, key, spec=GRID.spec, config=config)["reward_contrast"]

    keys = jax.random.split(jax.random.key(6), 400)
    begun = (params.network, adam.init(params.network))
    (learned, _), _ = eqx.filter_jit(lambda carry: jax.lax.scan(descended, carry, keys))(begun)
    predict = jax.jit(predicts)
    before, after = (np.mean([predict(network, key) for key in keys[:4]]) for network in (params.network, learned))
    assert before > 0.9 * np.log(5)
    assert after < 0.6 * np.log(5)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="particles must be 1 or more; came 0"):
        EnergyNetworkConfig(particles=0)
    with pytest.raises(UsageError, match="evidence_weight must be 0 or more; came -1"):
        ContrastConfig(evidence_weight=-1.0)
    with pytest.raises(UsageError, match="step_sizes must name one width or more"):
        EnergyNetworkConfig(step_sizes=())
