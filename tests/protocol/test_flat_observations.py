"""Observations of several parts: one row of numbers in a fixed order, and names in every message."""

import collections

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import quickstudy as qs
from quickstudy.protocol.casting import host_observation
from quickstudy.protocol.errors import SpecError, TaskDistributionError
from quickstudy.protocol.flat_observations import flat_space, name_of_number
from quickstudy.protocol.records import Outcome, Spec, spec_from_description
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.protocol.traced_casting import traced_observation

ROBOT = spaces.Dict(
    {
        "speed": spaces.Box(-8.0, 8.0, (2,)),
        "arm": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0, 255, (1, 2), np.uint8)]),
        "gear": spaces.Discrete(3, start=1),
        "dials": spaces.MultiDiscrete([2, 3]),
    }
)
SEEN = {
    "gear": 3,
    "speed": np.array([0.5, -7.0]),
    "arm": (np.array([0, 1], np.int8), np.array([[7, 255]], np.uint8)),
    "dials": np.array([1, 0]),
}
FLAT = [0, 1, 7, 255, 0, 1, 1, 0, 0, 0, 0, 1, 0.5, -7]
"""Worked out by hand: arm, dials, gear, speed."""


def test_parts_follow_one_another_in_the_order_of_their_names():
    space = flat_space(ROBOT)
    assert space.shape == (14,)
    assert space.dtype == np.float32
    assert space.low.tolist() == [0] * 12 + [-8, -8]
    assert space.high.tolist() == [1, 1, 255, 255] + [1] * 8 + [8, 8]
    came = host_observation("step", SEEN, ROBOT)
    assert came.tolist() == FLAT
    assert came.dtype == np.float32
    assert host_observation("step", collections.OrderedDict(reversed(SEEN.items())), ROBOT).tolist() == FLAT


def test_compiled_programs_flatten_alike():
    given = jax.tree.map(jnp.asarray, SEEN | {"gear": np.int32(3), "dials": np.array([1, 0], np.int32)})
    came = jax.jit(lambda seen: traced_observation("step", seen, ROBOT))(given)
    assert came.tolist() == FLAT


@pytest.mark.parametrize(
    ("number", "name"), [(1, "arm.0[1]"), (3, "arm.1[0, 1]"), (6, "dials[2]"), (9, "gear[0]"), (13, "speed[1]")]
)
def test_every_number_has_a_name(number, name):
    assert name_of_number(ROBOT, number) == name


WRONG = {
    "a part is missing": ({k: v for k, v in SEEN.items() if k != "gear"}, "without the part 'gear'"),
    "an array": (np.zeros(14), "without the part 'arm'"),
    "another shape": (SEEN | {"speed": np.zeros(3)}, r"step \(part 'speed'\) gives an observation float64\[3\]"),
    "no such id": (SEEN | {"gear": 0}, r"step \(part 'gear'\) gives 0, which is no element of Discrete\(3, start=1\)"),
    "a part of a part": (SEEN | {"arm": (np.array([0, 1]),)}, "without the part 'arm.1'"),
    "a fraction where ids are": (SEEN | {"dials": np.array([0.5, 1])}, "part 'dials'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case):
    observation, said = WRONG[case]
    with pytest.raises(ValueError, match=said):
        host_observation("step", observation, ROBOT)


def test_a_part_of_a_task_in_jax_that_does_not_fit_is_named():
    with pytest.raises(TaskDistributionError, match="part 'speed'"):
        traced_observation("reset", SEEN | {"speed": jnp.zeros(3)}, ROBOT)
    with pytest.raises(TaskDistributionError, match="without the part 'dials'"):
        traced_observation("reset", {k: v for k, v in SEEN.items() if k != "dials"}, ROBOT)


def test_spaces_that_are_no_numbers_are_refused_by_name():
    def spec(space):
        return Spec(observation_space=space, action_space=spaces.Discrete(2), horizon=1, episodes=1)

    with pytest.raises(SpecError, match=r"part 'arm\.note' of the observation_space is Text"):
        spec(spaces.Dict({"arm": spaces.Dict({"note": spaces.Text(3)})}))
    with pytest.raises(SpecError, match="one number at least"):
        spec(spaces.Tuple([]))


def test_a_spec_keeps_the_parts_and_describes_the_row_of_numbers():
    spec = Spec(observation_space=ROBOT, action_space=spaces.Discrete(2), horizon=4, episodes=2)
    assert spec.observation_space == flat_space(ROBOT)
    assert spec.given_observations == ROBOT
    assert spec_from_description(spec.describe()) == spec
    with_box = Spec(observation_space=spaces.Box(0, 1, (2,)), action_space=spaces.Discrete(2), horizon=4, episodes=2)
    assert with_box.given_observations == with_box.observation_space


def test_a_distribution_in_jax_may_observe_parts():
    space = spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(0, 1, ())})
    spec = Spec(observation_space=space, action_space=spaces.Discrete(2), horizon=2, episodes=1)

    def step(task, state, action, key):
        seen = {"a": state + 1.0, "b": action}
        return state + 1, Outcome(observation=seen, reward=1.0, terminated=False, truncated=False)

    tasks = TaskDistribution(
        spec=spec,
        sample=lambda split, key: jax.random.uniform(key),
        reset=lambda task, key: (jnp.float32(0), {"a": 0.0, "b": jnp.int32(0)}),
        step=step,
        describe=lambda task: {},
    )
    state, seen = tasks.reset(jnp.float32(0), jax.random.key(0))
    assert seen.tolist() == [0, 1, 0]
    assert tasks.step(jnp.float32(0), state, jnp.int32(1), jax.random.key(0))[1].observation.tolist() == [1, 0, 1]


class Parts(gymnasium.Env):
    """Observes a dict; the task is the reward of a step."""

    observation_space = ROBOT
    action_space = spaces.Discrete(2)

    def __init__(self, task):
        self.task = float(task)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return SEEN, {}

    def step(self, action):
        return SEEN, self.task, False, False, {}


def test_a_gymnasium_environment_needs_no_wrapper():
    tasks = qs.from_gymnasium(Parts, lambda split, generator: generator.uniform(), episodes=1, horizon=3)
    assert tasks.spec.observation_space.shape == (14,)
    assert tasks.spec.observation_parts == ROBOT
