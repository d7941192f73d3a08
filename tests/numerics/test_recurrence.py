"""The recurrence over many lifetimes and its own backward pass, against one lifetime at a time as JAX differentiates it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks import recurrent_core
from quickstudy.numerics.recurrence import run_core

INPUTS, HIDDEN, STEPS, LIFETIMES = 3, 5, 7, 4


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_states_and_gradients_of_many_lifetimes_are_those_of_each(kind):
    keys = jax.random.split(jax.random.key(0), 4)
    core = recurrent_core(kind, INPUTS, HIDDEN, key=keys[0])
    core = jax.tree.map(lambda leaf: leaf + 0.1, core)  # so that no bias is zero
    inputs = jax.random.normal(keys[1], (STEPS, LIFETIMES, INPUTS))
    valid = jax.random.bernoulli(keys[2], 0.7, (STEPS, LIFETIMES))
    begin = jax.tree.map(lambda leaf: leaf + 0.3, core.initial(LIFETIMES))
    weights = jax.random.normal(keys[3], (STEPS, LIFETIMES, HIDDEN))

    def loss(run):
        def total(core, begin, inputs):
            last, states = run(core, begin, inputs, valid)
            return (weights * core.output(states)).sum() + jnp.square(core.output(last)).sum()

        return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))(core, begin, inputs)

    one_by_one = jax.vmap(run_core, (None, 0, 1, 1), (0, 1))
    for many, each in zip(jax.tree.leaves(loss(run_core)), jax.tree.leaves(loss(one_by_one)), strict=True):
        np.testing.assert_allclose(many, each, rtol=2e-5, atol=2e-6)
