"""The read of every action by attention: what it counts, worked by hand."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks.core import CoreInputs
from quickstudy.networks.counts import of_counts
from quickstudy.networks.recall import Recall
from quickstudy.protocol.records import Spec

ACTIONS, HEADS, SIZE = 3, 2, 4
SPEC = Spec(
    observation_space=gymnasium.spaces.Discrete(2), action_space=gymnasium.spaces.Discrete(ACTIONS), horizon=5, episodes=1
)
OBSERVATIONS, TAKEN, REWARDS = [0, 1, 0, 0], [2, 2, 0, 2], [1.0, 5.0, -2.0, 3.0]
LEFT = 0.25


@pytest.fixture(scope="module")
def recall():
    return Recall(SPEC, seen=2, size=SIZE, heads=HEADS, rewards=1, key=jax.random.key(0))


def read(recall, counts, *, token=0.0):
    """What is read where observation 0 is seen, of the four steps above; `counts` says which of them may be seen."""
    seen = jax.nn.one_hot(jnp.asarray(OBSERVATIONS), 2)
    inputs = CoreInputs(
        observation=seen,
        action=jax.nn.one_hot(jnp.asarray(TAKEN), ACTIONS),
        successor=seen,
        reward=jnp.asarray(REWARDS)[:, None],
        boundary=jnp.zeros((4, 1)),
    )
    kept = recall.stored(inputs, jnp.ones((4, SIZE)))
    numbers = recall.read(seen[:1], jnp.full((1, SIZE), token), kept, jnp.asarray(counts)[None], jnp.full(1, LEFT))
    return np.asarray(numbers).reshape(ACTIONS, HEADS, -1)


def test_at_first_steps_under_the_same_observation_count_and_others_hardly(recall):
    other = np.exp(-5)
    by_hand = [[1, -2], [0, 0], [2 + other, 1 + 3 + 5 * other]]  # count and sum of rewards of each action
    numbers = of_counts(jnp.asarray(by_hand), jnp.full((1, 1), LEFT), 1)
    np.testing.assert_allclose(read(recall, [True] * 4), np.repeat(np.asarray(numbers)[:, None], HEADS, axis=1), rtol=1e-5)


def test_what_may_not_be_seen_does_not_count(recall):
    nothing = of_counts(jnp.zeros(2), jnp.full(1, LEFT), 1)
    np.testing.assert_allclose(
        read(recall, [False] * 4), np.broadcast_to(np.asarray(nothing), (ACTIONS, HEADS, nothing.size)), rtol=1e-6
    )
    np.testing.assert_allclose(read(recall, [True, True, False, True])[0], read(recall, [False] * 4)[0], rtol=1e-6)


def test_the_token_changes_what_counts_within_a_limit(recall):
    counted = lambda token: read(recall, [True, False, False, False], token=token)[2, :, -4]  # noqa: E731  log(1 + count) / 4
    assert not np.allclose(counted(1.0), counted(0.0), rtol=1e-3)
    assert (counted(1e6) <= np.log1p(np.exp(3.0)) / 4 + 1e-6).all()
