"""Steps to a threshold, and bands over tasks, by hand."""

import gymnasium
import numpy as np
import pytest

from quickstudy.evaluation import measures
from quickstudy.evaluation.measures import Anchors, LifetimeRewards
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws
from quickstudy.protocol.records import Spec


def spec_of(*, horizon, episodes):
    spaces = {"observation_space": gymnasium.spaces.Discrete(1), "action_space": gymnasium.spaces.Discrete(2)}
    return Spec(**spaces, horizon=horizon, episodes=episodes)


def test_steps_to_a_threshold_by_hand():
    spec = spec_of(horizon=1, episodes=8)
    reward = np.array([[[0, 0, 0, 1, 1, 1, 1, 1]]] * 2, np.float32)
    anchors = Anchors(floor=np.array([0.0]), ceiling=np.array([8.0]))
    draws = Draws(seeds=np.ones((10, 2), np.float32), tasks=np.ones((10, 1), np.float32))
    found = measures.measure_adaptation(
        LifetimeRewards(reward=reward, valid=np.ones_like(reward, bool)), anchors, draws, spec=spec, thresholds=(0.9,)
    )
    assert found["steps_to"]["0.9"] == statistics.Estimate(value=4.0, low=4.0, high=4.0)
    assert found["normalised_score"].value == pytest.approx(5 / 8)
    assert found["regret"].value == 3.0
    low = measures.measure_adaptation(
        LifetimeRewards(reward=0.5 * reward, valid=np.ones_like(reward, bool)), anchors, draws, spec=spec, thresholds=(0.9,)
    )
    assert low["steps_to"]["0.9"].value is None


def test_bands_are_percentiles_over_tasks_by_hand():
    spec = spec_of(horizon=1, episodes=2)
    # Task t has 0, 1, ..., 10 in every step with the first seed, and 2 more with the second: 1 more on average.
    reward = np.broadcast_to(np.arange(11.0)[None, :, None] + np.array([0.0, 2.0])[:, None, None], (2, 11, 2)).astype(
        np.float32
    )
    anchors = Anchors(floor=None, ceiling=np.full(11, 40.0))
    draws = Draws(seeds=np.ones((5, 2), np.float32), tasks=np.ones((5, 11), np.float32))
    lives = LifetimeRewards(reward=reward, valid=np.ones_like(reward, bool))
    found = measures.measure_adaptation(lives, anchors, draws, spec=spec, thresholds=())
    band = found["return_band"]
    assert (band.at, band.low, band.median, band.high) == ((1, 2), (2.0, 4.0), (6.0, 12.0), (10.0, 20.0))
    regret = found["regret_band"]
    assert (regret.low, regret.median, regret.high) == ((10.0, 20.0), (14.0, 28.0), (18.0, 36.0))
    unknown = measures.measure_adaptation(
        lives, Anchors(floor=None, ceiling=None), draws, spec=spec, thresholds=()
    )  # fmt: skip
    assert unknown["regret_band"] is None


def test_steps_to_a_threshold_count_whole_episodes_where_there_are_several():
    spec = spec_of(horizon=2, episodes=3)
    reward = np.array([[[0, 0, 0, 1, 1, 1]]], np.float32)
    anchors = Anchors(floor=np.array([0.0]), ceiling=np.array([6.0]))
    draws = Draws(seeds=np.ones((5, 1), np.float32), tasks=np.ones((5, 1), np.float32))
    found = measures.measure_adaptation(
        LifetimeRewards(reward=reward, valid=np.ones_like(reward, bool)), anchors, draws, spec=spec, thresholds=(0.5, 1.0)
    )
    assert found["steps_to"]["0.5"].value == 4
    assert found["steps_to"]["1"].value == 6
    assert found["asymptote"].value == 2.0
