"""The recurrence over many lifetimes and its own backward pass, against one lifetime at a time as JAX differentiates it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from networks.core_inputs import SPEC, random_inputs
from quickstudy.networks.recurrent import GRU, LSTM, Linear
from quickstudy.numerics.recurrence import steps_in_parallel, steps_in_turn

HIDDEN, STEPS, LIFETIMES = 5, 7, 4
INPUTS = random_inputs(STEPS).flat().shape[-1]


@pytest.mark.parametrize("kind", slow_but([Linear], [GRU, LSTM, Linear]))
def test_states_and_gradients_of_many_lifetimes_are_those_of_each(kind):
    keys = jax.random.split(jax.random.key(0), 4)
    core = kind(INPUTS, HIDDEN, key=keys[0])
    core = jax.tree.map(lambda leaf: leaf + 0.1, core)  # so that no bias is zero
    inputs = random_inputs(STEPS, LIFETIMES)
    valid = jax.random.bernoulli(keys[2], 0.7, (STEPS, LIFETIMES))
    begin = jax.tree.map(lambda leaf: leaf + 0.3, core.initial(SPEC, LIFETIMES))
    weights = jax.random.normal(keys[3], (STEPS, LIFETIMES, HIDDEN))

    def loss(run):
        def total(core, begin, inputs):
            last, features = run(core, begin, inputs, valid)
            return (weights * features).sum() + jnp.square(core.output(last)).sum()

        return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))(core, begin, inputs)

    run = lambda core, begin, inputs, valid: core.run(begin, inputs, inputs.observation, valid)  # noqa: E731
    one_by_one = jax.vmap(run, (None, 0, 1, 1), (0, 1))
    for many, each in zip(jax.tree.leaves(loss(run)), jax.tree.leaves(loss(one_by_one)), strict=True):
        np.testing.assert_allclose(many, each, rtol=2e-5, atol=2e-6)


def test_linear_steps_in_parallel_are_those_in_turn():
    keys = jax.random.split(jax.random.key(0), 3)
    keep, add = jax.random.uniform(keys[0], (STEPS, LIFETIMES, HIDDEN)), jax.random.normal(keys[1], (STEPS, LIFETIMES, HIDDEN))
    begin = jax.random.normal(keys[2], (LIFETIMES, HIDDEN))
    np.testing.assert_allclose(steps_in_parallel(keep, add, begin), steps_in_turn(keep, add, begin), rtol=1e-5, atol=1e-6)


def test_a_linear_core_still_hears_the_first_step_after_a_thousand():
    core = Linear(INPUTS, HIDDEN, key=jax.random.key(0))
    inputs = random_inputs(1000)

    def total(first):
        changed = dataclasses.replace(inputs, observation=inputs.observation.at[0].set(first))
        return core.output(core.take_in(core.initial(SPEC), changed, jnp.ones(1000, bool))).sum()

    assert jnp.abs(jax.grad(total)(inputs.observation[0])).max() > 1e-4
