"""Agents of every space of observations and actions are exported and repeat themselves, or are refused in one clear line."""

import gymnasium
import numpy as np
import pytest

from export.agents import untrained
from export.c_function import needs_gcc, run_c
from quickstudy.export import parity
from quickstudy.export.export import LARGEST_DEVIATION, export_bundle
from quickstudy.protocol.errors import NoProgramError

BOX, SMALL = gymnasium.spaces.Box(-3, 3, (2,)), {"hidden_size": 4, "cell": "gru", "image_channels": (2, 2, 2)}
ACTIONS = {
    "ids from 2": gymnasium.spaces.Discrete(3, start=2),
    "choices of several sizes": gymnasium.spaces.MultiDiscrete([2, 3, 2], start=[0, 5, -1]),
    "one choice": gymnasium.spaces.MultiDiscrete([4]),
    "a table of choices": gymnasium.spaces.MultiDiscrete([[2, 3], [2, 2]]),
    "switches": gymnasium.spaces.MultiBinary(3),
    "few whole numbers": gymnasium.spaces.Box(0, 3, (2,), np.int8),
    "ordered whole numbers": gymnasium.spaces.Box(-50, 50, (1, 2), np.int16),
    "rounded whole numbers": gymnasium.spaces.Box(np.int32([-1000, 0]), np.int32([1000, 9]), dtype=np.int32),
    "bytes": gymnasium.spaces.Box(0, 255, (2,), np.uint8),
    "one number without an axis": gymnasium.spaces.Box(-1, 1, ()),
    "a table of numbers": gymnasium.spaces.Box(-2, 1, (2, 2)),
    "a number that cannot move": gymnasium.spaces.Box(np.float32([-1, 2]), np.float32([1, 2])),
}
OBSERVATIONS = {
    "ids from 2": gymnasium.spaces.Discrete(3, start=2),
    "symbols": gymnasium.spaces.MultiDiscrete(np.full((3, 2), (2, 4)), dtype=np.uint8, start=np.full((3, 2), (0, 1))),
    "whole numbers": gymnasium.spaces.Box(np.int16([-3, 0]), np.int16([3, 9]), dtype=np.int16),
    "bytes": gymnasium.spaces.Box(0, 255, (4,), np.uint8),
    "images": gymnasium.spaces.Box(0, 255, (6, 5, 2), np.uint8),
    "one number without an axis": gymnasium.spaces.Box(-1, 1, ()),
    "half-open numbers": gymnasium.spaces.Box(np.float32([0, -1]), np.float32([np.inf, 1])),
}
QUICK = {"choices of several sizes", "rounded whole numbers", "symbols"}
"""One of each kind: actions that are chosen, actions that are rounded, and observations that are looked up."""


def cases():
    """Bundles by id and target."""
    for kind, spaces in (("acts in", ACTIONS), ("observes", OBSERVATIONS)):
        for name, space in spaces.items():
            pair = (BOX, space) if kind == "acts in" else (space, gymnasium.spaces.Discrete(2))
            slow = () if name in QUICK else (pytest.mark.slow,)
            yield pytest.param(pair, "numpy", id=f"{kind} {name}, in NumPy", marks=slow)
            yield pytest.param(pair, "c", id=f"{kind} {name}, in C", marks=[needs_gcc, *slow])


@pytest.mark.parametrize(("spaces", "to"), list(cases()))
def test_an_agent_of_every_space_repeats_itself(spaces, to, tmp_path):
    result = export_bundle(untrained(*spaces, **SMALL), to=to, folder=tmp_path, name="small", check=300)
    assert result.parity.steps == 300
    assert result.parity.of_policy <= LARGEST_DEVIATION


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid", "varibad", "energy"])
def test_other_algorithms_act_in_factored_spaces_too(name, tmp_path):
    space = ACTIONS["choices of several sizes"]
    result = export_bundle(untrained(BOX, space, name=name), to="numpy", folder=tmp_path, name="small", check=100)
    assert result.parity.of_policy <= LARGEST_DEVIATION


REFUSED = {
    "a tuple": (gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.MultiBinary(2)]), "a Tuple of several"),
    "a dict": (gymnasium.spaces.Dict(arm=gymnasium.spaces.Discrete(2)), "a Dict of several"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("to", ["numpy", "c"])
def test_actions_of_several_parts_are_refused_in_one_clear_line(name, to, tmp_path):
    space, said = REFUSED[name]
    with pytest.raises(NoProgramError, match=f"small .rl2. cannot be exported to {to}: its actions are {said} parts") as raised:
        export_bundle(untrained(BOX, space, **SMALL), to=to, folder=tmp_path, name="small")
    assert "\n" not in str(raised.value)
    assert "MultiDiscrete" in str(raised.value)
    assert not any(tmp_path.iterdir())


def opened(observation_space, action_space, folder):
    """An exported agent in NumPy after its first decision: its module, itself and its state."""
    export_bundle(untrained(observation_space, action_space, **SMALL), to="numpy", folder=folder, name="small", check=0)
    module = parity._module(folder / "agent.py")
    agent = module.Agent(folder, module.programs)
    return module, agent


def test_whole_numbers_outside_their_range_are_refused_in_numpy(tmp_path):
    choices, seen = ACTIONS["choices of several sizes"], OBSERVATIONS["whole numbers"]
    module, agent = opened(seen, choices, tmp_path)
    for wrong in ([4, 0], [0, -1], [0.5, 0], [float("nan"), 0]):
        with pytest.raises(ValueError, match="observation must hold whole numbers within the bounds of its space"):
            agent.step(agent.begin(), None, wrong)
    state, _ = agent.step(agent.begin(), None, [3, 9])
    for wrong in ([2, 5, 0], [0, 4, 0], [0, 5, 1], [0, 5.5, 0]):
        with pytest.raises(ValueError, match="action must hold whole numbers within the bounds of its space"):
            agent.step(state, module.Feedback(wrong, 0.0, [0, 0]), [0, 0])
    agent.step(state, module.Feedback([1, 7, -1], 0.0, [-3, 0]), [0, 0])


RANGES_IN_C = """
#include <stdio.h>
#include "agent.h"
int main(void) {
    agent_state state;
    agent_decision decision;
    agent_observation seen[2] = {3, 9}, low[2] = {-4, 0}, high[2] = {0, 10};
    agent_action action[3] = {1, 7, -1}, below[3] = {0, 4, 0}, above[3] = {0, 5, 1};
    agent_feedback feedback = {action, 3, 1.0f, seen, 2, 0, 0};
    agent_begin(&state);
    printf("%d %d ", agent_step(&state, NULL, low, 2, &decision), agent_step(&state, NULL, high, 2, &decision));
    printf("%d ", agent_step(&state, NULL, seen, 2, &decision));
    feedback.action = below;
    printf("%d ", agent_step(&state, &feedback, seen, 2, &decision));
    feedback.action = above;
    printf("%d ", agent_step(&state, &feedback, seen, 2, &decision));
    feedback.action = action;
    printf("%d\\n", agent_step(&state, &feedback, seen, 2, &decision));
    return 0;
}
"""


@needs_gcc
def test_whole_numbers_outside_their_range_are_refused_in_c(tmp_path):
    bundle = untrained(OBSERVATIONS["whole numbers"], ACTIONS["choices of several sizes"], **SMALL)
    export_bundle(bundle, to="c", folder=tmp_path, name="small", check=0)
    assert run_c(RANGES_IN_C, tmp_path, tmp_path).split() == ["2", "2", "0", "2", "2", "0"]
