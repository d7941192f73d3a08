"""A network that scores all actions alike: it knows no action by its number, and it serves any number of them."""

import dataclasses

import gymnasium
import jax
import numpy as np
import pytest

from networks.core_inputs import CONTINUOUS, SPEC
from quickstudy.networks.action_scores import ActionScores, network_for
from quickstudy.networks.actor_critic import ActorCritic
from quickstudy.networks.associative import AssociativeConfig
from quickstudy.networks.memory_network import MemoryNetworkConfig, first_statistics
from quickstudy.protocol.errors import SpecError

ALIKE = MemoryNetworkConfig(
    cell="associative", hidden_size=8, score_size=4, names_actions=False, associative=AssociativeConfig(beside=0)
)
MANY = dataclasses.replace(SPEC, action_space=gymnasium.spaces.Discrete(5))


def decided(network, spec, about, rest):
    """Logits `[actions]` and value, from numbers about each action `[actions, each]` and the other numbers that were read."""
    read = np.concatenate([about.ravel(), rest]).astype(np.float32)
    decision = network.decide(first_statistics(spec, ALIKE), read, np.float32([1, 0, 0]), spec)
    return np.asarray(decision["policy"].logits), float(decision["value"])


def numbers_read(network, spec):
    """Random numbers of the shapes that `decided` takes."""
    generator, actions = np.random.default_rng(0), int(spec.action_space.n)
    each = network.core.each
    return generator.normal(size=(actions, each)), generator.normal(size=network.core.size(spec) - actions * each)


def test_actions_that_trade_places_trade_probabilities():
    network = network_for(MANY, ALIKE, key=jax.random.key(0))
    about, rest = numbers_read(network, MANY)
    order = np.array([3, 1, 4, 0, 2])
    (logits, value), (logits_traded, value_traded) = (
        decided(network, MANY, numbers, rest) for numbers in (about, about[order])
    )
    np.testing.assert_allclose(logits_traded, logits[order], atol=1e-5)
    assert value_traded == pytest.approx(value, abs=1e-5)
    assert np.ptp(logits) > 1e-3


def test_named_actions_are_told_apart():
    network = network_for(MANY, dataclasses.replace(ALIKE, names_actions=True), key=jax.random.key(0))
    about, rest = numbers_read(network, MANY)
    logits, _ = decided(network, MANY, np.broadcast_to(about[:1], about.shape), rest)
    assert np.ptp(logits) > 1e-4


def test_no_parameter_depends_on_the_number_of_actions_or_the_length_of_a_lifetime():
    longer = dataclasses.replace(MANY, episodes=3)
    few, many = (
        jax.eval_shape(lambda key, spec=spec: network_for(spec, ALIKE, key=key), jax.random.key(0)) for spec in (SPEC, longer)
    )
    assert jax.tree.structure(few) == jax.tree.structure(many)
    assert [leaf.shape for leaf in jax.tree.leaves(few)] == [leaf.shape for leaf in jax.tree.leaves(many)]


@pytest.mark.parametrize(
    ("spec", "settings", "expected"),
    [
        (SPEC, {"cell": "associative"}, ActionScores),
        (SPEC, {"cell": "associative", "scores_alike": False}, ActorCritic),
        (CONTINUOUS, {"cell": "associative"}, ActorCritic),
        (SPEC, {"cell": "attention"}, ActionScores),
        (CONTINUOUS, {"cell": "attention"}, ActorCritic),
        (SPEC, {"cell": "gru"}, ActorCritic),
    ],
)
def test_the_network_follows_from_the_settings(spec, settings, expected):
    config = MemoryNetworkConfig(hidden_size=8, **settings)
    assert isinstance(jax.eval_shape(lambda key: network_for(spec, config, key=key), jax.random.key(0)), expected)


@pytest.mark.parametrize(("spec", "cell"), [(SPEC, "gru"), (CONTINUOUS, "associative")])
def test_scores_alike_are_refused_where_nothing_is_remembered_of_each_action(spec, cell):
    config = MemoryNetworkConfig(cell=cell, scores_alike=True, hidden_size=8)
    with pytest.raises(SpecError, match="scores_alike needs Discrete actions"):
        network_for(spec, config, key=jax.random.key(0))
