"""Many sessions in one call decide as each would by itself."""

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from marks import slow_but
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.rollout.actors import Actors


@pytest.mark.parametrize(
    "name", slow_but(["rl2 gru 8 on corridor"], ["rl2 gru 8 on corridor", "tally_agent every 4 on corridor"])
)
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


def test_actions_of_a_dict_are_arrays_of_all_sessions():
    subject = subject_of("random on console")
    actors = Actors(subject.agent, subject.params, count=3)
    actions = actors.act(np.zeros(3, int))
    assert {name: action.shape for name, action in actions.items() if name != "switches"} == {
        "lamps": (3, 2),
        "fine": (3, 1),
        "coarse": (3, 1, 1),
        "lever": (3, 2),
    }
    one = jax.tree.map(lambda leaf: leaf[1], actions)
    assert one in subject.agent.spec.action_space


GREEDY = {"reward": 0.0, "observation": 0}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"observation": [0, 7]}, r"observation of session 1 must be an element of Discrete\(1\); came .*7"),
        ({"observation": [0.5, 0]}, r"observation of session 0 must be an element of Discrete\(1\); came .*0.5"),
        ({"observation": [0, None]}, r"observation of session 1 must be an element of Discrete\(1\)"),
        ({"observation": ["0", "0"]}, "must be an element of"),
        ({"observation": [[0], [0, 0]]}, "must be an element of"),
        ({"observation": [[0], [0]]}, r"observation must have the shape \(2,\); came \(2, 1\)"),
        ({"reward": "1"}, "reward must be numbers, and NaN where they are not known; came '1'"),
        ({"reward": [0.0, None]}, "reward must be numbers"),
        ({"reward": [[0.0], [1.0, 2.0]]}, "reward must be numbers"),
        ({"reward": [0.0, 1e30]}, r"reward of session 1 must lie within ±1e\+15, or sums of rewards overflow; came 1e\+30"),
        ({"reward": np.zeros(3)}, r"reward must have the shape \(2,\); came \(3,\)"),
        ({"terminated": "no"}, "terminated must be truth values, True or False; came 'no'"),
        ({"truncated": [0, 0.5]}, "truncated must be truth values, True or False; came 0.5 in session 1"),
    ],
)
def test_what_is_no_evidence_is_named_and_changes_nothing(wrong, named):
    bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=2)
    agent = bandits.baselines["greedy"]()
    actors = Actors(agent, agent.init(jax.random.key(0)), count=2)
    if "observation" in wrong:
        with pytest.raises(SpecError, match=named):
            actors.act(wrong["observation"])
    before = actors.act(0)
    with pytest.raises(SpecError, match=named):
        actors.observe(**GREEDY | wrong)
    actors.observe(reward=[1.0, np.nan], observation=[0, 0], terminated=False, truncated=[0, np.bool_(False)])
    assert actors.act(0)[0] == before[0]
    assert actors.slots.tolist() == [1, 1]


def test_numbers_of_a_box_may_miss_its_bounds_by_rounding_and_may_not_be_finite():
    subject = subject_of("tally_agent every 4 on corridor")
    actors = Actors(subject.agent, subject.params, count=2)
    with pytest.raises(SpecError, match=r"observation of session 1 must be an element of Box\("):
        actors.act([[0.0, 0.0], [1.5, np.nan]])
    actors.act([[1.00001, 0.0], [np.nan, np.inf]])


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
