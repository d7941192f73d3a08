"""VariBAD's belief: what the prediction loss asks for, and what moves what."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.algorithms.varibad import BeliefConfig, beliefs_along, prediction_loss
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime

GRID = tasks.make("grid-navigation", size=3, horizon=4, episodes=2)
SMALL = {"hidden_size": 8, "decoder_size": 8, "decoded_beliefs": 3}
KEYS = jax.random.split(jax.random.key(9), 4)


@functools.cache
def lived():
    """Parameters, and four lifetimes `[T, 4]`."""
    algorithm = algorithms.make("varibad", GRID.spec, **SMALL)
    params = jax.jit(algorithm.agent.init)(jax.random.key(0))
    goals = GRID.sample_tasks("train", jax.random.key(1), tasks=4)
    one = jax.jit(jax.vmap(functools.partial(run_lifetime, algorithm.agent, GRID), (None, 0, 0), (1, 0)))
    return params, one(params, goals, jax.random.split(jax.random.key(2), 4))[0]


def losses(params, lifetimes, **settings):
    algorithm = algorithms.make("varibad", GRID.spec, **SMALL | settings)

    def of(params, lifetimes):
        memory, decisions = algorithm.agent.unroll(params, lifetimes, KEYS[: lifetimes.valid.shape[1]])
        beliefs = beliefs_along(params, memory, decisions, lifetimes, GRID.spec)
        return prediction_loss(params, beliefs, lifetimes, jax.random.key(3), spec=GRID.spec, config=algorithm.config.belief)

    return jax.jit(of)(params, lifetimes)


def test_what_is_predicted_is_what_was_asked_for():
    params, lifetimes = lived()
    assert set(losses(params, lifetimes)) == {"reward_loss", "divergence"}
    assert set(losses(params, lifetimes, decodes="observations")) == {"observation_loss", "divergence"}
    assert set(losses(params, lifetimes, decodes="both")) == {"reward_loss", "observation_loss", "divergence"}


def test_beliefs_are_kept_close_to_what_was_chosen():
    params, lifetimes = lived()
    previous, prior = (
        losses(params, lifetimes, divergence_from=name, divergence_weight=1.0)["divergence"] for name in ("previous", "prior")
    )
    assert 0 < previous < prior


def test_a_reward_that_is_predicted_costs_nothing_and_a_step_that_did_not_happen_neither():
    params, lifetimes = lived()
    silent = jax.tree.map(jnp.zeros_like, params.network.rewards.out)
    network = eqx.tree_at(lambda network: network.rewards.out, params.network, silent)
    mute = dataclasses.replace(params, network=network)
    nothing = jnp.zeros(lifetimes.valid.shape)
    unpaid = dataclasses.replace(lifetimes, outcome=dataclasses.replace(lifetimes.outcome, reward=nothing))
    assert losses(mute, unpaid)["reward_loss"] == 0
    paid = dataclasses.replace(unpaid, outcome=dataclasses.replace(unpaid.outcome, reward=nothing.at[-1].set(5.0)))
    assert losses(mute, paid)["reward_loss"] > 0
    absent = dataclasses.replace(paid, valid=paid.valid.at[-1].set(False))
    assert losses(mute, absent)["reward_loss"] == 0


@pytest.mark.parametrize("moves", [False, True])
def test_the_policy_moves_the_encoder_only_if_it_may(moves):
    params, lifetimes = lived()
    agent = algorithms.make("varibad", GRID.spec, **SMALL, policy_moves_encoder=moves).agent

    def likely(params):
        policy = agent.unroll(params, lifetimes, KEYS)[1].extras["policy"]
        return policy.log_probability(lifetimes.decision.action).sum()

    slope = jax.jit(jax.grad(likely))(params).network
    assert (np.abs(slope.actor_critic.core.recurrent).max() > 0) == moves
    assert (np.abs(slope.belief.weight).max() > 0) == moves
    assert np.abs(slope.actor_critic.policy.weight).max() > 0


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="decoded_beliefs must be above zero; came 0"):
        BeliefConfig(decoded_beliefs=0)
    with pytest.raises(UsageError, match="divergence_weight must be 0 or more; came -1"):
        BeliefConfig(divergence_weight=-1.0)
