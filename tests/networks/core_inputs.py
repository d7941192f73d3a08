"""Random steps for cores to take in."""

import jax

from quickstudy.networks.core import CoreInputs


def random_inputs(*shape, size=3, actions=2, rewards=1, seed=2):
    """Steps of this shape, with observations and actions that are one-hot."""
    keys = jax.random.split(jax.random.key(seed), 5)
    one_hot = lambda key, count: jax.nn.one_hot(jax.random.randint(key, shape, 0, count), count)  # noqa: E731
    return CoreInputs(
        observation=one_hot(keys[0], size),
        action=one_hot(keys[1], actions),
        successor=one_hot(keys[2], size),
        reward=jax.random.normal(keys[3], (*shape, rewards)),
        boundary=jax.random.bernoulli(keys[4], 0.3, (*shape, 1)).astype(float),
    )
