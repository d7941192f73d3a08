"""Many sessions in one call decide as each would by itself."""

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.rollout.actors import Actors


@pytest.mark.parametrize("name", ["rl2 gru 8 on corridor", "tally_agent every 4 on corridor"])
def test_each_session_decides_as_an_actor(name):
    subject = subject_of(name)
    space, generator = subject.agent.spec.observation_space, np.random.default_rng(0)
    together = Actors(subject.agent, subject.params, count=3, seed=5)
    alone = [qs.Actor(subject.agent, subject.params) for _ in range(3)]
    for actor, key in zip(alone, together.keys(), strict=True):
        actor.begin(key=key)
    for turn in range(6):
        seen = generator.uniform(space.low, space.high, (3, *space.shape)).astype(space.dtype)
        actions = together.act(seen)
        assert_close(actions, np.asarray([actor.act(one) for actor, one in zip(alone, seen, strict=True)], actions.dtype))
        after = generator.uniform(space.low, space.high, (3, *space.shape)).astype(space.dtype)
        reward = np.asarray([1.0, np.nan, turn], np.float32)
        ends = generator.random(3) < 0.3
        together.observe(reward=reward, observation=after, terminated=ends)
        for number, actor in enumerate(alone):
            actor.observe(reward=float(reward[number]), observation=after[number], terminated=bool(ends[number]))
        if turn == 2:  # one of them begins a new task
            together.begin([False, True, False])
            alone[1].begin(key=together.keys()[1])


def test_what_makes_no_sense_is_refused():
    bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=2)
    agent = bandits.baselines["greedy"]()
    actors = Actors(agent, agent.init(jax.random.key(0)), count=2)
    with pytest.raises(UsageError, match="before act"):
        actors.observe(reward=0.0, observation=0)
    with pytest.raises(SpecError, match=r"observation must have the shape \(2,\); came \(3,\)"):
        actors.act(np.zeros(3, int))
    actors.act(0)
    with pytest.raises(UsageError, match="twice in a row"):
        actors.act(0)
    with pytest.raises(UsageError, match="before the last outcomes"):
        actors.begin()
    actors.observe(reward=0.0, observation=0)
    actors.act(0)
    actors.observe(reward=0.0, observation=0)
    with pytest.raises(UsageError, match="is over in session 0"):
        actors.act(0)
    with pytest.raises(UsageError, match="1 session or more; came 0"):
        Actors(agent, (), count=0)
