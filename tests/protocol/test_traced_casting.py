"""What tasks in JAX give is cast where nothing is lost, and named in one line where something would be."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from marks import slow_but
from quickstudy import algorithms
from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks.check import check

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
