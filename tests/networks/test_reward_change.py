"""What a core is told of how rewards change, against a loop over steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks.recurrent import recurrent_core
from quickstudy.networks.reward_change import RewardChangeCore


class Told:
    """A core that remembers nothing and shows what it reads."""

    def initial(self, *lifetimes):
        return jnp.zeros((*lifetimes, 4))

    def run(self, hidden, inputs, valid):
        del hidden, valid
        return inputs[-1], inputs

    def output(self, hidden):
        return hidden


def by_hand(reward, boundary, valid):
    """Step by step: the difference to the last reward of this episode that came."""
    change, last = np.zeros_like(reward), None
    for slot in range(len(reward)):
        if valid[slot]:
            change[slot] = 0 if last is None else reward[slot] - last
            last = None if boundary[slot] else reward[slot]
    return change


def lived(seed, steps=40, lifetimes=5):
    generator = np.random.default_rng(seed)
    reward = generator.normal(7, 1, (steps, lifetimes)).astype(np.float32)
    valid = generator.random((steps, lifetimes)) < 0.7
    boundary = valid & (generator.random((steps, lifetimes)) < 0.2)
    return reward, boundary, valid, np.stack([np.ones_like(reward), reward - 7, reward, boundary], axis=-1)


def test_the_change_is_that_within_an_episode_whatever_did_not_happen():
    reward, boundary, valid, inputs = lived(0)
    core = RewardChangeCore(core=Told())
    _, after = core.run(core.initial(5), inputs, valid)
    expected = np.stack([by_hand(reward[:, one], boundary[:, one], valid[:, one]) for one in range(5)], axis=1)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(np.where(valid, after.state[..., 2], 0), expected, atol=1e-5)
    np.testing.assert_array_equal(after.state[..., [0, 1, 3]], inputs[..., [0, 1, 3]])
    told = np.where(boundary, 0, np.stack([reward - 7, expected]))
    np.testing.assert_allclose(core.output(after)[valid][:, -2:], told[:, valid].T, atol=1e-5)


def test_an_uncommon_change_is_cut():
    inputs = np.zeros((2, 1, 4), np.float32)
    inputs[1, 0, 2] = 1000.0
    _, after = RewardChangeCore(core=Told()).run(RewardChangeCore(core=Told()).initial(1), inputs, np.ones((2, 1), bool))
    np.testing.assert_array_equal(after.told[:, 0, 1], [0, 10])


@pytest.mark.parametrize("cell", ["gru", "lstm", "linear"])
def test_piece_by_piece_as_in_one_go(cell):
    *_, valid, inputs = lived(1)
    core = RewardChangeCore(core=recurrent_core(cell, 4, 8, key=jax.random.key(0)))
    whole, after = core.run(core.initial(5), inputs, valid)
    state, pieces = core.initial(5), []
    for start, stop in ((0, 1), (1, 2), (2, 17), (17, 40)):
        state, piece = core.run(state, inputs[start:stop], valid[start:stop])
        pieces.append(piece)
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)
    for one, other in ((state, whole), (joined, after)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other)
