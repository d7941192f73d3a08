"""Advantages against numbers worked by hand, and against a slow definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.returns import generalised_advantage
from quickstudy.protocol.errors import SpecError

ALL = jnp.ones(3, bool)


def test_three_steps_by_hand():
    # δ = [1 + .5·4 − 2, 0 + .5·1 − 4, 3 − 1] = [1, −3.5, 2]; A = δ_t + .25 A_{t+1} with γλ = .5·.5
    advantage, target = generalised_advantage(
        jnp.array([1.0, 0.0, 3.0]), jnp.array([2.0, 4.0, 1.0]), ALL, discount=0.5, trace_decay=0.5
    )
    np.testing.assert_allclose(advantage, [1 + 0.25 * (-3.5 + 0.25 * 2), -3.5 + 0.25 * 2, 2.0])
    np.testing.assert_allclose(target, advantage + jnp.array([2.0, 4.0, 1.0]))


def test_with_full_traces_targets_are_discounted_returns():
    _, target = generalised_advantage(
        jnp.array([1.0, 2.0, 4.0]), jnp.array([9.0, -3.0, 5.0]), ALL, discount=0.5, trace_decay=1.0
    )
    np.testing.assert_allclose(target, [1 + 0.5 * (2 + 0.5 * 4), 2 + 0.5 * 4, 4.0], rtol=1e-6)


def test_steps_that_did_not_happen_are_passed_over():
    reward, value = jax.random.normal(jax.random.key(0), (2, 8))
    valid = jnp.array([True, True, False, False, True, False, True, False])
    advantage, target = generalised_advantage(reward, value, valid, discount=0.9, trace_decay=0.8)
    dense, dense_target = generalised_advantage(reward[valid], value[valid], jnp.ones(4, bool), discount=0.9, trace_decay=0.8)
    np.testing.assert_allclose(advantage[valid], dense, rtol=1e-6)
    np.testing.assert_allclose(target[valid], dense_target, rtol=1e-6)
    assert not advantage[~valid].any()


def test_lengths_that_differ_are_refused():
    with pytest.raises(SpecError, match="differ in shape"):
        generalised_advantage(jnp.ones(3), jnp.ones(4), ALL, discount=1.0, trace_decay=1.0)
