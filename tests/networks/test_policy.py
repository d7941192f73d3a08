"""The policy without memory: one standard deviation for all observations, and biases that differ."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.networks.policy import PolicyConfig, PolicyNetwork
from quickstudy.protocol.records import Decision, Outcome, Spec, Transition


def test_the_deviation_is_the_same_at_every_observation_and_biases_differ():
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (2,)),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (3,)),
        horizon=1,
        episodes=1,
    )
    made = lambda gain: PolicyNetwork(spec, PolicyConfig(hidden_sizes=(8, 8), input_gain=gain), key=jax.random.key(0))  # noqa: E731
    network, plain = made(4.0), made(1.0)
    policy = network.policy(jax.random.normal(jax.random.key(1), (5, 2)), spec)
    assert (np.asarray(policy.deviation) == np.asarray(policy.deviation[0, 0])).all()
    assert len(np.unique(policy.mean)) == 15
    for layer in network.layers:
        assert len(np.unique(layer.bias)) == 8
        assert np.abs(layer.bias).max() <= 1
    np.testing.assert_allclose(network.layers[0].weight, 4 * plain.layers[0].weight, rtol=1e-6)
    np.testing.assert_array_equal(network.layers[1].weight, plain.layers[1].weight)


def seen(low, high, observations):
    """A policy after one batch of meta-training with these observations `[T, lifetimes, size]`, and its spec."""
    space = gymnasium.spaces.Box(np.float32(low), np.float32(high))
    spec = Spec(observation_space=space, action_space=gymnasium.spaces.Discrete(2), horizon=10, episodes=1)
    outcome = Outcome(observation=observations, reward=jnp.ones((10, 64)), terminated=False, truncated=False)
    decision = Decision(action=jnp.zeros((10, 64), jnp.int32), extras={})
    batch = Transition(
        observation=observations, decision=decision, outcome=outcome, episode=jnp.int32(0), valid=jnp.ones((10, 64), bool)
    )
    network = PolicyNetwork(spec, PolicyConfig(hidden_sizes=(8,)), key=jax.random.key(0))
    return network.after_seeing(batch, spec), spec


def test_numbers_in_scale_are_read_as_they_are_declared_and_others_are_whitened():
    usual = jax.random.normal(jax.random.key(0), (10, 64, 3))
    observations = usual * jnp.array([[[1.0, 500.0, 0.3]]]) + jnp.array([[[0.0, 0.0, 1e4]]])
    network, spec = seen([-np.inf] * 3, [np.inf] * 3, observations)
    read = np.asarray(network.read(observations, spec))
    np.testing.assert_array_equal(network.rescaling.whitened, [0, 1, 1])
    np.testing.assert_array_equal(read[..., 0], usual[..., 0])
    for number in (1, 2):
        np.testing.assert_allclose([read[..., number].mean(), read[..., number].std()], [0, 1], atol=0.01)
    unlimited = network.read(jnp.array([3e38, -3e38, 3e38]), spec)
    assert np.isfinite(network(unlimited)).all()


def test_of_bounded_numbers_those_are_whitened_that_move_in_a_small_part_of_their_bounds():
    usual = jax.random.normal(jax.random.key(0), (10, 64, 2))
    network, spec = seen([-8, -1e4], [8, 1e4], usual)
    read = np.asarray(network.read(usual, spec))
    np.testing.assert_array_equal(network.rescaling.whitened, [0, 1])
    np.testing.assert_allclose(read[..., 0], usual[..., 0] / 8, atol=1e-6)
    np.testing.assert_allclose([read[..., 1].mean(), read[..., 1].std()], [0, 1], atol=0.01)


def test_an_observation_under_any_bounds_is_told_from_another():
    cues = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (10, 64, 1)), jnp.float32)
    for bound in (1e3, 1e8, np.finfo(np.float32).max):
        network, spec = seen([-bound], [bound], cues)
        np.testing.assert_allclose(network.read(jnp.array([[-1.0], [1.0]]), spec).ravel(), [-1, 1], atol=0.1)
