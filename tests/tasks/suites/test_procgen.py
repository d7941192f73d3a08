"""Procgen's tasks as the learner sees them: without the suite."""

import sys

import jax
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.protocol.errors import MissingExtraError, SpecError, UnknownNameError, UsageError
from quickstudy.tasks.suites.procgen import LEVELS, RETURN_RANGES, STEP_LIMITS, TEST_FROM, normalised_return


@pytest.fixture
def without_envpool(monkeypatch):
    """As if EnvPool were not installed: importing it fails."""
    monkeypatch.setitem(sys.modules, "envpool", None)


@pytest.mark.parametrize("levels", [1, 200, TEST_FROM])
def test_training_and_test_levels_never_meet(levels, without_envpool):
    distribution = tasks.make("procgen", levels=levels)
    train, test = (distribution.sample_tasks(split, jax.random.key(0), tasks=10_000) for split in ("train", "test"))
    assert train.dtype == test.dtype == np.int32
    assert train.min() >= 0
    assert train.max() < levels <= TEST_FROM <= test.min()
    assert test.max() < LEVELS
    if levels == 200:
        assert set(train.tolist()) == set(range(200))
    assert distribution.describe(train[0]) == {"level": train[0]}


def test_the_learner_needs_the_spec_alone(without_envpool):
    distribution = tasks.make("procgen", game="bigfish", mode="hard", horizon=6000, episodes=3)
    assert distribution.spec.observation_space.shape == (64, 64, 3)
    assert distribution.spec.observation_space.dtype == np.uint8
    assert distribution.spec.action_space.n == 15
    assert (distribution.spec.horizon, distribution.spec.episodes) == (6000, 3)
    with pytest.raises(MissingExtraError, match=r"pip install 'quickstudy\[procgen\]'"):
        distribution.open()


def test_a_library_that_is_not_there_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", sys)
    monkeypatch.setitem(sys.modules, "envpool.procgen", None)
    with pytest.raises(UsageError, match="libqt5gui5"):
        tasks.make("procgen").open()


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"game": "coinrum"}, UnknownNameError, "Did you mean 'coinrun'"),
        ({"mode": "extreme"}, UnknownNameError, "easy, hard"),
        ({"levels": 0}, SpecError, "between 1 and 1000000"),
        ({"levels": TEST_FROM + 1}, SpecError, "between 1 and 1000000"),
        ({"game": "maze", "horizon": 501}, SpecError, "after 500 steps"),
        ({"horizon": 0}, SpecError, "horizon"),
    ],
)
def test_what_cannot_be_is_refused(settings, error, says):
    with pytest.raises(error, match=says):
        tasks.make("procgen", **settings)


def test_scores_are_on_the_papers_scale():
    returns = np.array([5.0, 7.5, 10.0, 0.0])
    np.testing.assert_allclose(normalised_return(returns, game="coinrun"), [0, 0.5, 1, -1])
    assert normalised_return(np.float64(18.25), game="starpilot", mode="hard") == 0.5
    for mode in ("easy", "hard"):
        assert RETURN_RANGES[mode].keys() == STEP_LIMITS.keys()
        assert len(STEP_LIMITS) == 16
        assert all(low < high for low, high in RETURN_RANGES[mode].values())
    with pytest.raises(UnknownNameError, match="coinrun"):
        normalised_return(returns, game="pong")
    with pytest.raises(UnknownNameError, match="easy, hard"):
        normalised_return(returns, game="coinrun", mode="extreme")
