"""What comes from outside JAX is cast where nothing is lost, and named in one line where something would be."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from quickstudy.protocol.casting import host_flag, host_number, host_observation
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.tasks.gymnasium import from_gymnasium, narrow

BYTES, INTEGERS, REAL = spaces.Box(0, 255, (2,), np.uint8), spaces.Box(-9, 9, (2,), np.int32), spaces.Box(-9, 9, (2,))


@pytest.mark.parametrize(
    ("space", "came"),
    [
        (spaces.Discrete(3), np.int64(2)),
        (spaces.Discrete(3), 2.0),
        (BYTES, np.array([255, 0], np.int64)),
        (BYTES, [1, 2]),
        (REAL, np.array([1e300, 0.5])),
        (INTEGERS, np.array([3.0, -2.0])),
    ],
)
def test_observations_outside_jax_are_cast_where_their_value_stays(space, came):
    cast = host_observation("step", came, space)
    assert cast.dtype == (np.int32 if isinstance(space, spaces.Discrete) else space.dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(cast, np.asarray(came).astype(cast.dtype))


@pytest.mark.parametrize(
    ("space", "came"),
    [
        (spaces.Discrete(3), 0.7),
        (spaces.Discrete(3), [1]),
        (spaces.Discrete(3), "1"),
        (spaces.Discrete(3), 2**40),
        (BYTES, [300, 0]),
        (INTEGERS, [0.5, 1.0]),
        (REAL, None),
        (REAL, [[1.0], [2.0, 3.0]]),
        (REAL, np.zeros(3)),
    ],
)
def test_observations_outside_jax_that_would_lose_something_are_refused(space, came):
    with pytest.raises(ValueError, match="step gives an observation") as caught:
        host_observation("step", came, space)
    assert "\n" not in str(caught.value)


def test_numbers_and_truth_values_outside_jax():
    assert host_number("a reward", np.array([2])) == 2.0
    assert host_flag("terminated", np.float32(1)) is True
    for wrong in (None, "1", [1, 2], object()):
        with pytest.raises(ValueError, match=r"a reward .+ it must be one number"):
            host_number("a reward", wrong)
    for wrong in (None, "False", 2, 0.5, [True, False]):
        with pytest.raises(ValueError, match=r"terminated .+ it must be one truth value"):
            host_flag("terminated", wrong)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 5_000_000_000, (1,), np.int64),
        spaces.Box(0, np.iinfo(np.uint64).max, (1,), np.uint64),
        spaces.Discrete(2**40),
        spaces.MultiDiscrete([2, 2**33]),
    ],
)
def test_whole_numbers_beyond_32_bits_are_refused_by_name(space):
    with pytest.raises(SpecError, match=r"observation_space holds whole numbers from 0 to .+ which 32 bits hold. Declare"):
        Spec(observation_space=space, action_space=spaces.Discrete(2), horizon=2, episodes=1)


@pytest.mark.parametrize(
    ("low", "high", "kind", "narrowed"),
    [
        (-10, 10, np.int64, np.int32),
        (0, 8_000_000_000, np.uint64, np.float32),
        (0, np.iinfo(np.int64).max, np.int64, np.float32),
        (0, 4_000_000_000, np.uint32, np.uint32),
        (-1e300, 1e300, np.float64, np.float32),
    ],
)
def test_spaces_of_gymnasium_are_narrowed_or_widened_and_never_wrapped_around(low, high, kind, narrowed):
    space = narrow(spaces.Box(low, high, (2,), kind))
    assert space.dtype == narrowed
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(space.high, np.float32(high) if narrowed is np.float32 else high)
    value = host_observation("step", np.array([7, 7], kind), space)
    np.testing.assert_array_equal(value, [7, 7])
    spec = Spec(observation_space=space, action_space=spaces.Discrete(2), horizon=2, episodes=1)
    assert spec.observation_space == space


def test_what_is_rounded_is_said(capsys):
    class Counter(gymnasium.Env):
        observation_space = spaces.Box(0, 8_000_000_000, (1,), np.int64)
        action_space = spaces.Discrete(2)

    from_gymnasium(lambda task: Counter(), lambda split, generator: {"x": generator.uniform()}, episodes=1, horizon=2)
    assert "declared as int64 from 0 to 8000000000, more than 32 bits hold" in capsys.readouterr().err
