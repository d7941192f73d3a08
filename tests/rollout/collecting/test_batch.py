"""Batches of collected lifetimes: one number of each episode from an environment's measure at each step."""

import numpy as np
import pytest

from quickstudy.rollout.collecting.batch import judged

NONE = float("nan")  # a slot that did not happen
STEPS = np.array([[[0.0, 2.0, 1.0], [0.0, 0.0, NONE]], [[3.0, NONE, NONE], [-1.0, -1.0, -1.0]]], np.float32)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("any", [[1.0, 0.0], [1.0, 0.0]]),
        ("sum", [[3.0, 0.0], [3.0, -3.0]]),
        ("last", [[1.0, 0.0], [3.0, -1.0]]),
    ],
)
def test_an_episode_has_one_number_whatever_axes_stand_before_it(reduction, expected):
    np.testing.assert_array_equal(judged(STEPS, reduction), expected)
    np.testing.assert_array_equal(judged(STEPS[None], reduction), [expected])
