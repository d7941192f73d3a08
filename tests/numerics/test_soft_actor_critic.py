"""Soft actor-critic's equations against values that can be worked out by hand."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.numerics.soft_actor_critic import expected_soft_value, soft_target, target_entropy


def test_the_soft_value_is_greatest_for_the_soft_policy():
    values, temperature = jnp.array([1.0, 0.0, -2.0]), jnp.float32(0.5)
    best, entropy = expected_soft_value(values, values / temperature, temperature)
    # Of π ∝ exp(Q / α), V = α log Σ exp(Q / α).
    np.testing.assert_allclose(best, 0.5 * np.log(np.exp(np.array([2.0, 0.0, -4.0])).sum()), rtol=1e-6)
    for logits in (values, 3 * values, jnp.zeros(3)):
        assert expected_soft_value(values, logits, temperature)[0] < best
    chances = np.asarray(jax.nn.softmax(values / temperature))
    np.testing.assert_allclose(entropy, -(chances * np.log(chances)).sum(), rtol=1e-5)


def test_a_time_limit_is_no_end():
    target = soft_target(jnp.array([1.0, 1.0]), jnp.array([False, True]), jnp.array([10.0, 10.0]), discount=0.9)
    np.testing.assert_allclose(target, [10.0, 1.0])


def test_target_entropies_lie_between_certain_and_uniform():
    discrete = gymnasium.spaces.Discrete(4)
    assert target_entropy(discrete, 0.0) == 0.0
    np.testing.assert_allclose(target_entropy(discrete, 1.0), np.log(4))
    box = gymnasium.spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 0.5]), dtype=np.float64)
    np.testing.assert_allclose(target_entropy(box, 1.0), np.log(2 * 0.5))
    # Independent uniform numbers over exp(-3) of their ranges.
    np.testing.assert_allclose(target_entropy(box, 0.0), np.log(2 * np.exp(-3.0)) + np.log(0.5 * np.exp(-3.0)), rtol=1e-6)
