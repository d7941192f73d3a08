"""Specs of tasks, and random steps for cores to take in."""

import gymnasium
import jax
import numpy as np

from quickstudy.networks.core import CoreInputs
from quickstudy.protocol.records import Spec

STEPS, SIZE, ACTIONS = 7, 3, 2
SPEC = Spec(
    observation_space=gymnasium.spaces.Discrete(SIZE),
    action_space=gymnasium.spaces.Discrete(ACTIONS),
    horizon=STEPS,
    episodes=1,
)
CONTINUOUS = Spec(
    observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (SIZE,)),
    action_space=gymnasium.spaces.Box(-1, 1, (ACTIONS,)),
    horizon=STEPS,
    episodes=1,
)


def random_inputs(*shape, size=SIZE, actions=ACTIONS, rewards=1, seed=2):
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
