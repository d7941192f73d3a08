"""Policies against SciPy, and samples against their own densities."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.distributions import policy_over, policy_parameters

BOX = gymnasium.spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32))


def test_categorical_with_an_offset():
    policy = policy_over(jnp.log(jnp.array([0.2, 0.3, 0.5])), gymnasium.spaces.Discrete(3, start=7))
    np.testing.assert_allclose(policy.log_probability(jnp.int32(9)), np.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(), stats.entropy([0.2, 0.3, 0.5]), rtol=1e-6)
    assert policy.mode() == 9
    samples = jax.vmap(policy.sample)(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose([(samples == 7 + i).mean() for i in range(3)], [0.2, 0.3, 0.5], atol=0.015)


@pytest.mark.parametrize("scale", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("location", [-4.0, 0.0, 1.0])
def test_truncated_normal_agrees_with_scipy(location, scale):
    policy = policy_over(jnp.array([location, location, scale, scale]), BOX)
    mean, deviation = np.asarray(policy.mean, float), np.asarray(policy.deviation, float)
    reference = stats.truncnorm((BOX.low - mean) / deviation, (BOX.high - mean) / deviation, loc=mean, scale=deviation)
    samples = jax.vmap(policy.sample)(jax.random.split(jax.random.key(1), 20_000))
    assert BOX.contains(np.asarray(samples[0]))
    samples = np.asarray(samples)
    assert (samples >= BOX.low).all()
    assert (samples <= BOX.high).all()
    np.testing.assert_allclose(samples.mean(0), reference.mean(), atol=0.05)
    np.testing.assert_allclose(policy.log_probability(jnp.asarray(samples[0])), reference.logpdf(samples[0]).sum(), rtol=1e-3)
    np.testing.assert_allclose(policy.entropy(), reference.entropy().sum(), atol=1e-3)
    certain = policy.certain()
    np.testing.assert_allclose(certain.mean, reference.mean(), atol=1e-4)
    few = jax.vmap(certain.sample)(jax.random.split(jax.random.key(2), 20))
    np.testing.assert_allclose(few, np.broadcast_to(reference.mean(), few.shape), atol=2e-3)


@pytest.mark.parametrize(
    ("space", "likeliest"),
    [(gymnasium.spaces.Discrete(3), 2), (gymnasium.spaces.MultiDiscrete([3]), [2])],
)
def test_a_certain_choice_is_the_likeliest_and_the_next_one_where_that_is_forbidden(space, likeliest):
    policy = policy_over(jnp.log(jnp.array([0.1, 0.44, 0.46])), space).certain()
    for key in jax.random.split(jax.random.key(0), 20):
        np.testing.assert_array_equal(policy.sample(key), likeliest)
    assert float(policy.log_probability(jnp.asarray(likeliest))) == pytest.approx(0.0, abs=1e-6)
    if isinstance(space, gymnasium.spaces.Discrete):
        assert int(policy.only(jnp.array([True, True, False])).sample(jax.random.key(0))) == 1


def test_parameters_and_time_axes():
    assert policy_parameters(BOX) == 4
    parameters = jax.random.normal(jax.random.key(2), (6, 4))
    policy = policy_over(parameters, BOX)
    action = policy.mode()
    each = [policy_over(p, BOX).log_probability(a) for p, a in zip(parameters, action, strict=True)]
    np.testing.assert_allclose(policy.log_probability(action), each, rtol=1e-5)
