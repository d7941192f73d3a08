"""The policy without memory: one standard deviation for all observations, and biases that differ."""

import gymnasium
import jax
import numpy as np

from quickstudy.networks.policy import PolicyConfig, PolicyNetwork
from quickstudy.protocol.records import Spec


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
