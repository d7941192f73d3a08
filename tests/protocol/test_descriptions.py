"""Described specs: what `describe` gives is taken, and every other type or size is refused by name."""

import json

import gymnasium
import numpy as np
import pytest

import hostile
from quickstudy.protocol.descriptions import MOST_LIFETIME_STEPS, check_space_description, check_spec_description
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.records import Spec, spec_from_description

SPACES = {
    "ids": gymnasium.spaces.Discrete(5, start=-2),
    "symbols": gymnasium.spaces.MultiDiscrete(np.full((3, 2), 4)),
    "vector": gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
    "bounded on one side": gymnasium.spaces.Box(np.array([0.0, -np.inf], np.float32), np.array([np.inf, 1.5], np.float32)),
    "image": gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "single number": gymnasium.spaces.Box(-1.0, 1.0, (), np.float64),
    "largest floats": gymnasium.spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,), np.float32),
}


@pytest.mark.parametrize("name", SPACES)
def test_what_a_spec_describes_comes_back(name):
    spec = Spec(observation_space=SPACES[name], action_space=gymnasium.spaces.Discrete(3), horizon=4, episodes=2)
    described = json.loads(json.dumps(spec.describe()))
    check_spec_description(described)
    assert spec_from_description(described) == spec


@pytest.mark.parametrize("name", hostile.SPACES)
def test_other_descriptions_are_refused(name):
    if name != "kind Dict":
        with pytest.raises((SpecError, UnknownNameError)) as caught:
            check_space_description(hostile.SPACES[name], "observation_space")
        assert "observation_space" in str(caught.value)


def test_lengths_are_whole_and_have_a_limit():
    described = Spec(
        observation_space=gymnasium.spaces.Discrete(1), action_space=gymnasium.spaces.Discrete(2), horizon=1, episodes=1
    ).describe()
    check_spec_description(described | {"horizon": MOST_LIFETIME_STEPS})
    for horizon, episodes in ((0, 1), (-1, 1), (True, 1), ("1", 1), (1.0, 1), (None, 1), (MOST_LIFETIME_STEPS, 2), (1, 2**40)):
        with pytest.raises(SpecError):
            check_spec_description(described | {"horizon": horizon, "episodes": episodes})
    for missing in described:
        with pytest.raises(SpecError, match=f"lacks {missing}"):
            check_spec_description({name: value for name, value in described.items() if name != missing})
