"""Recurrent cores: the cells of Equinox are the reference, and a law ties whole lifetimes to single steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks.recurrent import recurrent_core
from quickstudy.networks.reward_change import RewardChangeCore

INPUTS, HIDDEN, STEPS = 4, 5, 7


def test_the_gru_is_that_of_equinox():
    core = recurrent_core("gru", INPUTS, HIDDEN, key=jax.random.key(0))
    core = eqx.tree_at(lambda c: (c.candidate_bias, c.input.bias), core, (jnp.arange(5.0), jnp.arange(15.0) / 10))
    cell = eqx.nn.GRUCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias, core.candidate_bias))
    check(core, cell, hidden=jnp.zeros(HIDDEN), output=lambda state: state)


def test_the_lstm_is_that_of_equinox():
    core = recurrent_core("lstm", INPUTS, HIDDEN, key=jax.random.key(0))
    cell = eqx.nn.LSTMCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias))
    check(core, cell, hidden=(jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)), output=lambda state: state[0])


def check(core, cell, *, hidden, output):
    inputs = jax.random.normal(jax.random.key(2), (STEPS, INPUTS))
    valid, seen = jnp.arange(STEPS) != 3, jnp.zeros((STEPS, 1))
    last, features = core.run(core.initial(), inputs, seen, valid)
    for t in range(STEPS):
        np.testing.assert_allclose(features[t], output(hidden), atol=1e-5)
        hidden = cell(inputs[t], hidden) if valid[t] else hidden
    np.testing.assert_allclose(core.read(last, seen[0]), output(hidden), atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "lstm", "linear"])
def test_modules_hold_arrays_only(kind):
    core = recurrent_core(kind, INPUTS, HIDDEN, key=jax.random.key(0))
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(core))


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("kind", ["gru", "lstm", "linear"])
def test_a_whole_run_reads_what_single_steps_read(kind, changes):
    """The law of cores: `run` means `read`, then `take_in`, for one step or for a chunk, of one lifetime or of many."""
    keys = jax.random.split(jax.random.key(3), 4)
    core = recurrent_core(kind, INPUTS, HIDDEN, key=keys[0])
    core = RewardChangeCore(core=core) if changes else core
    inputs = jax.random.normal(keys[1], (STEPS, 3, INPUTS))
    valid, seen = jax.random.bernoulli(keys[2], 0.7, (STEPS, 3)), jax.random.normal(keys[3], (STEPS, 3, 2))
    last, features = core.run(core.initial(3), inputs, seen, valid)
    assert features.shape == (STEPS, 3, core.size)
    state = core.initial(3)
    for t in range(STEPS):
        np.testing.assert_allclose(core.read(state, seen[t]), features[t], atol=1e-5)
        state = core.take_in(state, inputs[t : t + 1], valid[t : t + 1])
    chunk = core.take_in(core.take_in(core.initial(3), inputs[:2], valid[:2]), inputs[2:], valid[2:])
    alone = core.run(core.initial(), inputs[:, 1], seen[:, 1], valid[:, 1])
    np.testing.assert_allclose(alone[1], features[:, 1], atol=1e-5)
    for other in (state, chunk):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), other, last)
