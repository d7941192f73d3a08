"""An `Actor` in NumPy: it decides as the compiled one does, and its sessions go over from one to the other."""

import gymnasium
import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from marks import slow_but
from quickstudy import algorithms
from quickstudy.protocol.errors import NoProgramError, UsageError
from quickstudy.protocol.records import Spec
from quickstudy.rollout.actor_programs import ActorPrograms
from quickstudy.rollout.numpy_programs import NumpyPrograms

DISCRETE, CONTINUOUS, FACTORED = "rl2 gru 8 on corridor", "rl2 lstm 8 on aiming", "rl2 gru 8 on switches"
ACTIONS = {
    "ids from 2": gymnasium.spaces.Discrete(3, start=2),
    "one choice": gymnasium.spaces.MultiDiscrete([4]),
    "a table of choices": gymnasium.spaces.MultiDiscrete([[2, 3], [2, 2]], start=[[0, 1], [-1, 0]]),
    "switches": gymnasium.spaces.MultiBinary(3),
    "few whole numbers": gymnasium.spaces.Box(0, 3, (2,), np.int8),
    "ordered whole numbers": gymnasium.spaces.Box(-50, 50, (1, 2), np.int16),
    "one number without an axis": gymnasium.spaces.Box(-1, 1, ()),
    "one number with two axes": gymnasium.spaces.Box(-1, 1, (1, 1)),
    "a table of numbers": gymnasium.spaces.Box(-2, 1, (2, 2)),
}
"""Spaces of actions that are drawn in NumPy."""
COMPILED = {
    "a tuple": gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.Box(-1, 1, (2,))]),
    "a dict": gymnasium.spaces.Dict(arm=gymnasium.spaces.Discrete(2), lamps=gymnasium.spaces.MultiBinary(2)),
    "rounded whole numbers": gymnasium.spaces.Box(-1000, 1000, (2,), np.int32),
    "a number that cannot move": gymnasium.spaces.Box(np.float32([-1, 2]), np.float32([1, 2])),
}
"""Spaces of actions that only the compiled program draws in."""
QUICK = {"a table of choices", "one number without an axis", "a tuple"}
"""Of each list, one space of each kind that is drawn in another way."""


def pair(name):
    subject = subject_of(name)
    return [qs.Actor(subject.agent, subject.params, seed=3, backend=backend) for backend in ("jax", "numpy")]


def step(actor, generator, spec):
    """One step with outcomes that depend on the generator alone."""
    action = actor.act(_observation(spec, generator))
    successor = _observation(spec, generator)
    reward = float("nan") if generator.random() < 0.2 else float(generator.standard_normal())
    actor.observe(reward=reward, observation=successor, terminated=bool(generator.random() < 0.2))
    return action


def _observation(spec, generator):
    space = spec.observation_space
    if hasattr(space, "n"):
        return int(space.start + generator.integers(space.n))
    return np.clip(generator.standard_normal(space.shape), space.low, space.high).astype(space.dtype)


@pytest.mark.parametrize("name", slow_but([DISCRETE], [DISCRETE, CONTINUOUS, FACTORED]))
def test_both_backends_decide_the_same(name):
    spec = subject_of(name).agent.spec
    compiled, in_numpy = pair(name)
    assert isinstance(compiled._programs, ActorPrograms)
    assert isinstance(in_numpy._programs, NumpyPrograms)
    for lifetime in range(3):
        generators = [np.random.default_rng(lifetime) for _ in range(2)]
        compiled.begin()
        in_numpy.begin()
        for _ in range(spec.episodes):
            actions = [step(actor, one, spec) for actor, one in zip((compiled, in_numpy), generators, strict=True)]
            assert type(actions[0]) is type(actions[1])
            assert_close(np.asarray(actions[1], np.float32), np.asarray(actions[0], np.float32))
            assert_close(in_numpy.decision, compiled.decision)
            assert_close(in_numpy.memory, compiled.memory)
    assert in_numpy.nonfinite_steps == compiled.nonfinite_steps > 0


def small_agent(space):
    """An RL² agent that acts in a space, and its parameters."""
    spec = Spec(observation_space=gymnasium.spaces.Box(-3, 3, (2,)), action_space=space, horizon=3, episodes=5)
    agent = algorithms.make("rl2", spec, hidden_size=4, cell="gru").agent
    return agent, agent.init(jax.random.key(0))


@pytest.mark.parametrize("name", slow_but(QUICK, ACTIONS))
def test_actions_are_elements_of_every_space_and_the_same(name):
    agent, params = small_agent(ACTIONS[name])
    actors = [qs.Actor(agent, params, seed=3, backend=backend) for backend in ("jax", "numpy")]
    generators = [np.random.default_rng(0) for _ in range(2)]
    for _ in range(5):
        actions = [step(actor, one, agent.spec) for actor, one in zip(actors, generators, strict=True)]
        assert all(action in agent.spec.action_space for action in actions)
        assert type(actions[0]) is type(actions[1])
        assert_close(*(np.asarray(action, np.float32) for action in actions))
    assert_close(actors[1].decision, actors[0].decision)
    actors[1].resume(jax.tree.map(np.asarray, actors[0].session))
    assert_close(actors[1].session, actors[0].session)


@pytest.mark.parametrize("name", slow_but(QUICK, COMPILED))
def test_other_spaces_are_left_to_the_compiled_program(name):
    agent, params = small_agent(COMPILED[name])
    actor = qs.Actor(agent, params)
    assert isinstance(actor._programs, ActorPrograms)
    assert step(actor, np.random.default_rng(0), agent.spec) in agent.spec.action_space
    with pytest.raises(NoProgramError, match=r"several parts|in a way that is not written in NumPy"):
        qs.Actor(agent, params, backend="numpy")


@pytest.mark.parametrize("backends", [("jax", "numpy"), ("numpy", "jax")])
def test_a_session_goes_over_to_the_other_backend(backends):
    subject = subject_of(DISCRETE)
    first, second = (qs.Actor(subject.agent, subject.params, backend=backend) for backend in backends)
    generator = np.random.default_rng(0)
    step(first, generator, subject.agent.spec)
    second.resume(jax.tree.map(np.asarray, first.session))
    observation = _observation(subject.agent.spec, generator)
    assert first.act(observation) == second.act(observation)
    assert_close(second.session, first.session)


def test_an_agent_without_such_a_form_is_compiled():
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=4)
    agent = bandits.baselines["Thompson sampling"]()
    assert isinstance(qs.Actor(agent, ())._programs, ActorPrograms)
    with pytest.raises(NoProgramError, match="policy"):
        qs.Actor(agent, (), backend="numpy")


def test_another_backend_is_refused():
    subject = subject_of(DISCRETE)
    with pytest.raises(UsageError, match="backend must be one of auto, jax, numpy; came 'torch'"):
        qs.Actor(subject.agent, subject.params, backend="torch")
