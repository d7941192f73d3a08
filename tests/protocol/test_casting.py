"""What users' code gives is cast where nothing is lost, and named in one line where something would be."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy import algorithms
from quickstudy.protocol.casting import host_flag, host_number, host_observation
from quickstudy.protocol.errors import SpecError, TaskDistributionError
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks.check import check
from quickstudy.tasks.gymnasium import from_gymnasium, narrow

spaces = gymnasium.spaces
BYTES, INTEGERS, REAL = spaces.Box(0, 255, (2,), np.uint8), spaces.Box(-9, 9, (2,), np.int32), spaces.Box(-9, 9, (2,))


def made(*, observation=lambda state: state, space=spaces.Discrete(3), start=0, following=lambda state: state, **outcome):
    """Tasks whose step gives something in plain Python."""

    def step(task, state, action, key):
        hit = action == task["best"]
        given = {"reward": hit.astype(jnp.float32), "terminated": False, "truncated": False} | outcome
        given = {name: value(hit) if callable(value) else value for name, value in given.items()}
        return following(state), Outcome(observation=observation(state), **given)

    return TaskDistribution(
        spec=Spec(observation_space=space, action_space=spaces.Discrete(2), horizon=4, episodes=3),
        sample=lambda split, key: {"best": jax.random.randint(key, (), 0, 2), "mark": jnp.float32(split == "test")},
        reset=lambda task, key: (start, observation(start)),
        step=step,
        describe=lambda task: task,
    )


PLAIN = {
    "truth values": {},
    "numbers for truth values": {"terminated": 0, "truncated": jnp.float32(0)},
    "a reward of whole numbers": {"reward": lambda hit: hit.astype(jnp.int32)},
    "a reward of a truth value": {"reward": lambda hit: hit},
    "a reward in an array of one": {"reward": lambda hit: hit.astype(jnp.float32)[None]},
    "a plain reward": {"reward": 1.5, "start": jnp.int32(0)},
    "a wide observation": {"observation": lambda state: np.zeros(2), "space": REAL},
    "whole numbers for real ones": {"observation": lambda state: jnp.zeros(2, jnp.int32), "space": REAL},
    "a list": {"observation": lambda state: [0.0, 1.0], "space": REAL},
    "a state that becomes narrower": {"start": jnp.float32(0), "following": lambda state: 0, "observation": lambda _: 0},
    "a state of plain numbers": {"start": {"t": 0}, "following": lambda s: {"t": s["t"] + 1}, "observation": lambda _: 0},
}


QUICK = ("numbers for truth values", "a reward in an array of one", "a list", "a state that becomes narrower")
"""One of each kind: of an ending, of a reward, of an observation, of a state."""


@pytest.mark.parametrize("name", slow_but(QUICK, PLAIN))
def test_plain_python_runs_as_it_is_meant(name):
    distribution = made(**PLAIN[name])
    agent = algorithms.make("rl2", distribution.spec, hidden_size=4).agent
    task = distribution.sample("train", jax.random.key(0))
    run = jax.jit(lambda key: run_lifetime(agent, distribution, agent.init(key), task, key)[0])
    lifetime = run(jax.random.key(1))
    outcome = lifetime.outcome
    assert [outcome.reward.dtype, outcome.terminated.dtype, outcome.truncated.dtype] == [jnp.float32, bool, bool]
    expected = 1.5 if name == "a plain reward" else np.asarray(lifetime.decision.action == task["best"], np.float32)
    np.testing.assert_array_equal(outcome.reward, np.broadcast_to(expected, 12))
    assert outcome.observation.shape[1:] == distribution.spec.observation_space.shape


@pytest.mark.slow
def test_what_is_cast_passes_the_check():
    assert check(made(reward=lambda hit: hit[None]), samples=300) == []


STRANGE = {
    "reward None; it must be one float": {"reward": None},
    r"reward float32\[2\]": {"reward": jnp.zeros(2)},
    "reward '1'": {"reward": "1"},
    r"terminated bool\[2\]; it must be one truth value": {"terminated": jnp.zeros(2, bool)},
    r"observation float32\[\]; the observation space asks for a whole number": {"observation": lambda _: jnp.float32(0.5)},
    r"observation int32\[2\]; the observation space asks for uint8\[2\]": {
        "observation": lambda _: jnp.zeros(2, jnp.int32),
        "space": BYTES,
    },
    r"observation float32\[2\]; the observation space asks for int32\[2\]": {
        "observation": lambda _: jnp.zeros(2),
        "space": INTEGERS,
    },
    r"observation float32\[1\]; the observation space asks for float32\[2\]": {
        "observation": lambda _: jnp.zeros(1),
        "space": REAL,
    },
    r"a state int32\[\] into float32\[\]": {"following": lambda state: jnp.float32(0.5), "observation": lambda _: 0},
    "into .+ it must keep its structure": {"following": lambda state: (state,), "observation": lambda _: 0},
}


@pytest.mark.parametrize("named", STRANGE)
def test_what_cannot_be_cast_is_named_in_one_line(named):
    distribution = made(**STRANGE[named])
    task, key = distribution.sample("train", jax.random.key(0)), jax.random.key(1)

    def run():
        state, _ = distribution.reset(task, key)
        distribution.step(task, state, jnp.int32(0), key)

    with pytest.raises(TaskDistributionError, match=named) as caught:
        run()
    assert "\n" not in str(caught.value)
    faults = check(distribution, samples=300)
    assert {fault.law for fault in faults} == {"shapes"}
    assert faults[0].what == str(caught.value)


def test_a_distribution_that_is_changed_is_cast_once_more_only_where_its_space_is_another():
    distribution = made()
    longer = dataclasses.replace(distribution, spec=dataclasses.replace(distribution.spec, episodes=5))
    assert longer.step is distribution.step
    wider = dataclasses.replace(distribution, spec=dataclasses.replace(distribution.spec, observation_space=spaces.Discrete(9)))
    assert wider.step is not distribution.step


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
