"""The learning rate is an argument of the compiled update, so that another one compiles nothing anew."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from quickstudy import algorithms, tasks
from quickstudy.training.sources import source_for
from quickstudy.training.update import apply_supplied, initial_state, rates_of, update_program
from training.parameters import digest

SMALL = {"lifetimes": 8}


@pytest.fixture(scope="module")
def distribution():
    """Pulls that two rollouts of an inner step divide."""
    return tasks.make("bernoulli-bandit", arms=2, pulls=6)


def made(name, distribution, **settings):
    """A small algorithm, its source, its root key and its state `[1]`."""
    algorithm = algorithms.make(name, distribution.spec, **SMALL | settings)
    source, roots = source_for(algorithm, distribution, tasks=8), jax.random.key(0)[None]
    return algorithm, source, roots, initial_state(algorithm, source, roots)


def program_text(name, distribution, **settings):
    """The compiled update, before it is compiled."""
    algorithm, source, roots, state = made(name, distribution, **settings)
    given = (state, (), roots, jnp.uint32(0), jnp.float32(0), rates_of(algorithm))
    return update_program(algorithm, source).lower(*given).as_text()


@pytest.mark.parametrize(
    ("name", "setting", "settings"),
    [
        ("rl2", "learning_rate", {"hidden_size": 8}),
        pytest.param("maml", "learning_rate", {"rollouts": 2}, marks=pytest.mark.slow),
        pytest.param("promp", "learning_rate", {"rollouts": 2}, marks=pytest.mark.slow),
        pytest.param("reptile", "learning_rate", {"rollouts": 2}, marks=pytest.mark.slow),
        pytest.param("multi-task", "meta_learning_rate", {"rollouts": 2, "minibatches": 1}, marks=pytest.mark.slow),
        pytest.param("pearl", "learning_rate", {"gradient_steps": 2}, marks=pytest.mark.slow),
    ],
)
def test_two_learning_rates_have_one_program(name, setting, settings, distribution):
    one, other = (program_text(name, distribution, **settings | {setting: rate}) for rate in (0.25, 0.125))
    assert one == other


@pytest.mark.slow
def test_the_rate_that_is_given_is_used(distribution):
    algorithm, source, roots, state = made("rl2", distribution, hidden_size=8)
    before, program = digest(state.train.params.network), update_program(algorithm, source)
    state, _ = apply_supplied(program, state, (), roots, 0, 0.0, (jnp.float32(0),))
    assert digest(state.train.params.network) == before
    state, _ = apply_supplied(program, state, (), roots, 1, 0.0, rates_of(algorithm))
    assert digest(state.train.params.network) != before


def test_an_update_that_was_replaced_is_given_no_rate(distribution):
    algorithm = algorithms.make("rl2", distribution.spec, learning_rate=0.5)
    assert algorithm.rates == (0.5,)
    assert dataclasses.replace(algorithm, name="renamed").rates == (0.5,)
    assert dataclasses.replace(algorithm, update=lambda state, lifetimes, progress, key: (state, {})).rates == ()
