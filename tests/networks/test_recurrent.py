"""Recurrent cores: the cells of Equinox are the reference."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from networks.core_inputs import SPEC, random_inputs
from quickstudy.networks.recurrent import GRU, LSTM

HIDDEN, STEPS = 5, 7
INPUTS = random_inputs(STEPS).flat().shape[-1]


def test_the_gru_is_that_of_equinox():
    core = GRU(INPUTS, HIDDEN, key=jax.random.key(0))
    core = eqx.tree_at(lambda c: (c.candidate_bias, c.input.bias), core, (jnp.arange(5.0), jnp.arange(15.0) / 10))
    cell = eqx.nn.GRUCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias, core.candidate_bias))
    check(core, cell, hidden=jnp.zeros(HIDDEN), output=lambda state: state)


def test_the_lstm_is_that_of_equinox():
    core = LSTM(INPUTS, HIDDEN, key=jax.random.key(0))
    cell = eqx.nn.LSTMCell(INPUTS, HIDDEN, key=jax.random.key(1))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias)  # noqa: E731
    cell = eqx.tree_at(where, cell, (core.input.weight, core.recurrent.T, core.input.bias))
    check(core, cell, hidden=(jnp.zeros(HIDDEN), jnp.zeros(HIDDEN)), output=lambda state: state[0])


def check(core, cell, *, hidden, output):
    inputs = random_inputs(STEPS)
    valid, seen = jnp.arange(STEPS) != 3, jnp.zeros((STEPS, 1))
    last, features = core.run(core.initial(SPEC), inputs, seen, valid)
    for t in range(STEPS):
        np.testing.assert_allclose(features[t], output(hidden), atol=1e-5)
        hidden = cell(inputs.flat()[t], hidden) if valid[t] else hidden
    np.testing.assert_allclose(core.read(last, seen[0]), output(hidden), atol=1e-5)
