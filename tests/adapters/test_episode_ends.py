"""The end of an episode: the observation that comes next is the first of a new episode, and no successor of the last step."""

import gymnasium
import jax.numpy as jnp
import pytest

import quickstudy as qs
from quickstudy.adapters import AskTell, Bandit
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision

# Two episodes of two steps: what is observed at each step, and the successor of the step before.
OBSERVATIONS, SUCCESSORS = [1, 2, 3, 4], [0, 2, 2, 4]


def recalling_agent(horizon, episodes):
    """An agent whose action is the number of the last successor that it was told; 0 at first."""
    five = gymnasium.spaces.Discrete(5)
    spec = qs.Spec(observation_space=five, action_space=five, horizon=horizon, episodes=episodes)

    def adapt(params, memory, experience, key):
        return jnp.where(experience.valid[-1], experience.outcome.observation[-1], memory)

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.int32(0),
        act=lambda params, memory, observation, key: Decision(action=memory, extras={}),
        adapt=adapt,
    )


def test_ask_and_tell_ends_an_episode_at_the_horizon():
    loop, asked = AskTell(recalling_agent(2, 2), ()), []
    for _ in range(2):
        for seen in OBSERVATIONS:
            asked.append(loop.ask(seen))
            loop.tell(asked[-1], 0.0)
        loop.begin()
    assert asked == 2 * SUCCESSORS


def test_ask_and_tell_begins_the_next_episode_where_one_was_terminated():
    loop, asked = AskTell(recalling_agent(2, 3), ()), []
    for seen, terminated in [(1, True), (2, False), (3, False), (4, False)]:
        asked.append(loop.ask(seen))
        loop.tell(asked[-1], 0.0, terminated=terminated)
    assert asked == [0, 1, 3, 3]


@pytest.mark.parametrize("told", range(4))
def test_a_bandit_ends_an_episode_at_the_horizon(told):
    bandit = Bandit(recalling_agent(2, 2), ())
    if told:
        bandit.fit([0] * told, [0.0] * told, OBSERVATIONS[:told])
    # The newest row waits for the question, and the rows before do not.
    assert bandit.predict([OBSERVATIONS[told]]) == [SUCCESSORS[told]]


def test_a_bandit_decides_as_the_agent_along_the_same_rows():
    agent, seen = recalling_agent(2, 3), [1, 2, 3, 4, 1]
    rows = {"observation": seen, "action": [0] * 5, "reward": [0.0] * 5}
    bandit = Bandit(agent, ()).fit([0] * 4, [0.0] * 4, seen[:4])
    assert bandit.predict(seen[4:]) == [int(qs.replay(agent, (), rows).decisions.action[-1])] == [4]
