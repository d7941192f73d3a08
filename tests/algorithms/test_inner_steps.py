"""Reptile, ProMP, sparse MAML and the hybrid: what sets each apart from the agent that it is built on."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.algorithms.hybrid import HybridConfig, hybrid_agent
from quickstudy.algorithms.maml import MAMLConfig, maml, policies_along
from quickstudy.algorithms.promp import ProMPConfig, promp
from quickstudy.algorithms.reptile import ReptileConfig, reptile
from quickstudy.algorithms.rl2 import RL2Config, rl2_agent
from quickstudy.algorithms.sparse_maml import SparseMAMLConfig, sparse_maml_agent
from quickstudy.protocol.agent import memory_bytes
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS
from quickstudy.protocol.settings import with_settings
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.navigation.point_navigation import point_navigation

NAVIGATION = point_navigation(horizon=5, episodes=4)
SMALL = {"hidden_sizes": (8, 8), "rollouts": 2}


def made(kind, **settings):
    """A configuration with these settings by their flat names."""
    return with_settings(kind(), settings, of=kind.__name__)


def lifetimes_of(agent, params, lifetimes=3):
    """Lifetimes `[T, lifetimes]` on tasks of their own."""

    def one(key):
        return run_lifetime(agent, NAVIGATION, params, NAVIGATION.sample("train", key), key)[0]

    return jax.jit(jax.vmap(one, 0, 1))(jax.random.split(jax.random.key(5), lifetimes))


def on_one_device(update, *arguments):
    """An update outside of training; it averages over a named axis of devices."""
    run = jax.jit(jax.vmap(update, (None,) * len(arguments), axis_name=LIFETIMES_AXIS, axis_size=1))
    return jax.tree.map(lambda leaf: leaf[0], run(*arguments))


@pytest.mark.slow
def test_reptile_moves_towards_the_mean_of_what_was_adapted():
    algorithm = reptile(NAVIGATION.spec, made(ReptileConfig, **SMALL, learning_rate=0.5))
    state = jax.jit(algorithm.init)(jax.random.key(0))
    lifetimes = lifetimes_of(algorithm.agent, state.params)
    after, _ = on_one_device(algorithm.update, state, lifetimes, jnp.float32(0), jax.random.key(1))
    adapted = jax.jit(algorithm.agent.unroll)(state.params, lifetimes, jax.random.split(jax.random.key(1), 3))[0]
    start, ended = state.params.start.head.weight, adapted.weights.head.weight.mean(0)
    np.testing.assert_allclose(after.params.start.head.weight, (start + ended) / 2, atol=1e-7)
    assert np.abs(ended - start).max() > 1e-6


@pytest.mark.slow
def test_promp_moves_the_start_several_times_on_one_batch_and_stays_near_what_lived():
    settings = dict(**SMALL, learning_rate=1e-2)
    algorithms = {
        (meta_steps, weight): promp(
            NAVIGATION.spec, made(ProMPConfig, **settings, meta_steps=meta_steps, divergence_weight=weight)
        )
        for meta_steps, weight in ((1, 0.0), (5, 0.0), (5, 1e3))
    }
    # They differ in the update alone, so one batch is that of all.
    first = algorithms[1, 0.0]
    state = jax.jit(first.init)(jax.random.key(0))
    lifetimes = lifetimes_of(first.agent, state.params)
    behaviour = lifetimes.decision.extras["log_probability"]
    log_probability = jax.jit(
        lambda params: policies_along(first.agent, params, lifetimes).log_probability(lifetimes.decision.action)
    )
    moved = {}
    for (meta_steps, weight), algorithm in algorithms.items():
        after, metrics = on_one_device(algorithm.update, state, lifetimes, jnp.float32(0), jax.random.key(1))
        now = log_probability(after.params)
        moved[meta_steps, weight] = float(np.abs(now - behaviour)[:10].mean())
        assert metrics["kl"] >= 0
    assert moved[5, 0.0] > 1.5 * moved[1, 0.0] > 0
    assert moved[5, 1e3] < moved[5, 0.0]


def test_sparse_inner_steps_touch_what_they_say():
    config = made(SparseMAMLConfig, **SMALL, adapted_fraction=0.25, inner_rate=1.0)
    agent = sparse_maml_agent(NAVIGATION.spec, config)
    params = jax.jit(agent.init)(jax.random.key(0))
    rollout = jax.jit(functools.partial(run_lifetime, agent, NAVIGATION))
    memory = rollout(params, NAVIGATION.sample("train", jax.random.key(1)), jax.random.key(2))[1]
    assert [change.weight.shape for change in memory.change.layers] == [(2, 2), (2, 8)]
    assert memory.change.head_weight.shape == (2, 2)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(memory))
    full = sparse_maml_agent(NAVIGATION.spec, dataclasses.replace(config, adapted_fraction=1.0))
    assert memory_bytes(agent) < memory_bytes(full) / 3
    assert memory_bytes(full) == memory_bytes(maml(NAVIGATION.spec, made(MAMLConfig, **SMALL)).agent)


@pytest.mark.slow
def test_units_that_are_left_out_can_come_in():
    agent = sparse_maml_agent(NAVIGATION.spec, made(SparseMAMLConfig, **SMALL, adapted_fraction=0.25, inner_rate=1.0))
    params = jax.jit(agent.init)(jax.random.key(0))
    lifetimes = lifetimes_of(agent, params)
    gained = lambda p: policies_along(agent, p, lifetimes).log_probability(lifetimes.decision.action)[10:].sum()  # noqa: E731
    slopes = jax.jit(jax.grad(gained))(params).scores
    assert all((np.asarray(slope) != 0).all() for slope in slopes)


@pytest.mark.slow
def test_with_inner_rates_of_zero_the_hybrid_is_rl2():
    config = {"hidden_size": 8}
    ours = hybrid_agent(NAVIGATION.spec, made(HybridConfig, **config))
    theirs = rl2_agent(NAVIGATION.spec, made(RL2Config, **config).network)
    as_rl2 = lambda params: dataclasses.replace(params, network=params.network.actor_critic)  # noqa: E731
    params = jax.jit(ours.init)(jax.random.key(0))
    still = eqx.tree_at(lambda p: p.network.rates, params, jax.tree.map(jnp.zeros_like, params.network.rates))
    actions = lambda agent, params: lifetimes_of(agent, params).decision.action  # noqa: E731
    rl2, moving = actions(theirs, as_rl2(params)), actions(ours, params)
    np.testing.assert_allclose(actions(ours, still), rl2, atol=1e-6)
    assert np.abs(moving - rl2)[5:].max() > 1e-4
    np.testing.assert_allclose(moving[:5], rl2[:5], atol=1e-6)


def test_settings_out_of_range_are_named():
    for make, match in (
        (lambda: made(ProMPConfig, clip=0.0), "clip must be above zero"),
        (lambda: made(ProMPConfig, inner_rate=-1.0), "inner_rate must be above zero"),
        (lambda: made(ReptileConfig, learning_rate=2.0), "learning_rate must be above zero and at most 1; came 2"),
        (lambda: made(SparseMAMLConfig, adapted_fraction=0.0), "adapted_fraction must be above zero"),
        (lambda: made(SparseMAMLConfig, adapts="head"), "adapts must be 'all' here"),
        (lambda: made(HybridConfig, inner_discount=1.5), "inner_discount must lie between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=match):
            make()
