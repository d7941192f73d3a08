"""An `Actor` in NumPy: it decides as the compiled one does, and its sessions go over from one to the other."""

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from quickstudy.protocol.errors import NoProgramError, UsageError
from quickstudy.rollout.actor_programs import ActorPrograms
from quickstudy.rollout.numpy_programs import NumpyPrograms

DISCRETE, CONTINUOUS = "rl2 gru 8 on corridor", "rl2 lstm 8 on aiming"


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


@pytest.mark.parametrize("name", [DISCRETE, CONTINUOUS])
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
