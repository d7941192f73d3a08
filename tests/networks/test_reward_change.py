"""What a core reads of the change of rewards, against a loop over steps."""

import numpy as np

from networks.core_inputs import SPEC
from quickstudy.networks.core import CoreInputs
from quickstudy.networks.reward_change import RewardChangeCore


class Shows:
    """A core that remembers nothing and keeps the inputs that it got."""

    size = 4

    def __init__(self):
        self.got = []

    def initial(self, spec, *lifetimes):
        del spec
        return np.zeros((*lifetimes, 4), np.float32)

    def run(self, state, inputs, seen, valid):
        del state, valid, seen
        self.got.append(inputs)
        return inputs.flat()[-1], np.zeros((*inputs.boundary.shape[:-1], 4), np.float32)


def inputs_of(reward, boundary):
    """Steps of which nothing but the reward and the ends of episodes is known."""
    one = np.ones_like(reward[..., :1])
    return CoreInputs(observation=one, action=one, successor=one, reward=reward, boundary=boundary.astype(np.float32))


def by_hand(reward, boundary, valid):
    """Step by step: the difference to the last reward of this episode that came."""
    change, last = np.zeros_like(reward), None
    for slot in range(len(reward)):
        if valid[slot]:
            change[slot] = 0 if last is None else reward[slot] - last
            last = None if boundary[slot] else reward[slot]
    return change


def test_the_change_is_that_within_an_episode_whatever_did_not_happen():
    generator = np.random.default_rng(0)
    reward = generator.normal(7, 1, (40, 5)).astype(np.float32)
    valid = generator.random((40, 5)) < 0.7
    boundary = valid & (generator.random((40, 5)) < 0.2)
    inputs = inputs_of(np.stack([reward - 7, reward], axis=-1), boundary[..., None])
    inner = Shows()
    core = RewardChangeCore(core=inner)
    last, features = core.run(core.initial(SPEC, 5), inputs, np.zeros((40, 5, 1)), valid)
    expected = np.stack([by_hand(reward[:, one], boundary[:, one], valid[:, one]) for one in range(5)], axis=1)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(np.where(valid, inner.got[0].reward[..., 1], 0), expected, atol=1e-5)
    np.testing.assert_array_equal(inner.got[0].reward[..., 0], reward - 7)
    np.testing.assert_array_equal(inner.got[0].boundary, inputs.boundary)
    # Each step reads what the newest step before it that happened has left: nothing, where that ended an episode.
    left = np.where(boundary, 0, np.stack([reward - 7, expected]))
    for one in range(5):
        newest = np.zeros(2)
        for slot in range(40):
            np.testing.assert_allclose(features[slot, one, -2:], newest, atol=1e-5)
            newest = left[:, slot, one] if valid[slot, one] else newest
        np.testing.assert_allclose(last.newest[one], newest, atol=1e-5)


def test_an_uncommon_change_is_cut():
    reward = np.zeros((2, 1, 2), np.float32)
    reward[1, 0, 1] = 1000.0
    inputs = inputs_of(reward, np.zeros((2, 1, 1), bool))
    core = RewardChangeCore(core=Shows())
    last, _ = core.run(core.initial(SPEC, 1), inputs, np.zeros((2, 1, 1)), np.ones((2, 1), bool))
    assert last.newest[0, 1] == 10
