"""Cores against Equinox's cells, and encodings."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks.policy import PolicyNetwork
from quickstudy.networks.recurrent import recurrent_core
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import encode

INPUTS, HIDDEN, STEPS = 3, 5, 7


def test_gru_agrees_with_equinox():
    core = recurrent_core("gru", INPUTS, HIDDEN, key=jax.random.key(0))
    core = eqx.tree_at(lambda c: (c.candidate_bias, c.input.bias), core, (jnp.arange(5.0), jnp.arange(15.0) / 10))
    cell = eqx.nn.GRUCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias, core.candidate_bias))
    check(core, cell, hidden=jnp.zeros(HIDDEN), output=lambda state: state)


def test_lstm_agrees_with_equinox():
    core = recurrent_core("lstm", INPUTS, HIDDEN, key=jax.random.key(0))
    cell = eqx.nn.LSTMCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias))
    check(core, cell, hidden=(jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)), output=lambda state: state[0])


def check(core, cell, *, hidden, output):
    inputs = jax.random.normal(jax.random.key(2), (STEPS, INPUTS))
    valid = jnp.arange(STEPS) != 3
    _, states = core.run(core.initial(), inputs, valid)
    for t in range(STEPS):
        hidden = cell(inputs[t], hidden) if valid[t] else hidden
        np.testing.assert_allclose(core.output(jax.tree.map(lambda s, t=t: s[t], states)), output(hidden), atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "lstm", "linear"])
def test_modules_hold_arrays_only(kind):
    core = recurrent_core(kind, INPUTS, HIDDEN, key=jax.random.key(0))
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(core))


def test_encodings():
    np.testing.assert_array_equal(encode(jnp.int32(4), gymnasium.spaces.Discrete(3, start=3)), [0, 1, 0])
    box = gymnasium.spaces.Box(np.array([[0.0, -2.0]], np.float32), np.array([[4.0, 2.0]], np.float32))
    np.testing.assert_allclose(encode(jnp.array([[4.0, 0.0]]), box), [1, 0])
    np.testing.assert_allclose(encode(jnp.array([[[4.0, 0.0]], [[0.0, 1.0]]]), box), [[1, 0], [-1, 0.5]])
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    np.testing.assert_allclose(encode(jnp.array([400.0, -3.0]), unbounded), [400, -3])


def test_a_policy_scatters_alike_everywhere_and_its_units_bend_at_different_places():
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (2,)),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (3,)),
        horizon=1,
        episodes=1,
    )
    network = PolicyNetwork(spec, (8, 8), input_gain=4.0, key=jax.random.key(0))
    policy = network.policy(jax.random.normal(jax.random.key(1), (5, 2)), spec)
    assert (np.asarray(policy.deviation) == np.asarray(policy.deviation[0, 0])).all()
    assert len(np.unique(policy.mean)) == 15
    for layer in network.layers:
        assert len(np.unique(layer.bias)) == 8
        assert np.abs(layer.bias).max() <= 1
    plain = PolicyNetwork(spec, (8, 8), key=jax.random.key(0))
    np.testing.assert_allclose(network.layers[0].weight, 4 * plain.layers[0].weight, rtol=1e-6)
    np.testing.assert_array_equal(network.layers[1].weight, plain.layers[1].weight)
