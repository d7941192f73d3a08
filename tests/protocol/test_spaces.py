"""Elements of spaces as the numbers that networks read."""

import gymnasium
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.spaces import encode


def test_encodings():
    np.testing.assert_array_equal(encode(jnp.int32(4), gymnasium.spaces.Discrete(3, start=3)), [0, 1, 0])
    box = gymnasium.spaces.Box(np.array([[0.0, -2.0]], np.float32), np.array([[4.0, 2.0]], np.float32))
    np.testing.assert_allclose(encode(jnp.array([[4.0, 0.0]]), box), [1, 0])
    np.testing.assert_allclose(encode(jnp.array([[[4.0, 0.0]], [[0.0, 1.0]]]), box), [[1, 0], [-1, 0.5]])
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    np.testing.assert_allclose(encode(jnp.array([400.0, -3.0]), unbounded), [400, -3])
