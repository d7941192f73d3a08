"""The columns of a log: what follows what, and which rows are cast one by one."""

import gymnasium
import numpy as np

from quickstudy.protocol.records import Spec
from quickstudy.rollout.log_columns import LogColumns

SPEC = Spec(
    observation_space=gymnasium.spaces.Box(-1, 1, (2,)),
    action_space=gymnasium.spaces.Discrete(3, start=4),
    horizon=3,
    episodes=2,
)


def test_what_follows_is_the_next_row_of_the_lifetime_and_not_beyond_an_episode():
    seen = np.linspace(0, 0.7, 8)[:, None] * np.ones(2)
    log = LogColumns.of(
        {
            "observation": seen,
            "action": np.array([4, 5, 6, 4, 4, 4, 4, 4]),
            "reward": np.arange(8),
            "lifetime": ["a", "b", "a", "a", "a", "b", "b", "b"],
            "terminated": [False, False, False, False, False, True, False, False],
        },
        SPEC,
    )
    assert log.lifetimes == ["a", "b"]
    np.testing.assert_array_equal(log.step, [0, 0, 1, 2, 3, 1, 2, 3])
    # Rows of a: 0, 2, 3 (the horizon ends its episode), 4. Rows of b: 1, 5 (terminated), 6, 7.
    np.testing.assert_allclose(log.successor[:, 0], seen[[2, 5, 3, 3, 4, 5, 7, 7], 0], rtol=1e-6)
    assert log.observation.dtype == log.reward.dtype == np.float32


def test_rounding_beyond_a_bound_is_an_element():
    columns = {"action": [4], "reward": [0.0]}
    log = LogColumns.of(columns | {"observation": np.array([[1.00001, 0.0]])}, SPEC)
    assert log.observation.shape == (1, 2)
