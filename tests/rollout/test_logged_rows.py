"""An agent along the rows of a log: it decides and learns as an `Actor` does that is told the same."""

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.subject import subject_of
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError

BANDITS = qs.tasks.make("bernoulli-bandit", arms=2, pulls=4)
GREEDY = BANDITS.baselines["greedy"]()


def along(actor, rows):
    """What an Actor decides at each row of one lifetime, as it is told the actions and outcomes of the log."""
    decisions = []
    for place in range(len(rows["reward"])):
        actor.act(rows["observation"][place])
        decisions.append(actor.decision)
        actor.observe(
            reward=float(rows["reward"][place]),
            observation=rows["next_observation"][place],
            terminated=bool(rows["terminated"][place]),
            action=rows["action"][place],
        )
    return jax.tree.map(lambda *each: np.stack(each), *decisions)


@pytest.mark.parametrize(
    "name", ["rl2 gru 8 on corridor", pytest.param("tally_agent every 4 on corridor", marks=pytest.mark.slow)]
)
def test_it_decides_and_ends_as_an_actor_that_is_told_the_same(name):
    subject = subject_of(name)
    _, _, lifetime, _ = subject.one(0)
    happened = np.flatnonzero(np.asarray(lifetime.valid))
    chooser = np.random.default_rng(0)
    one = {
        "observation": np.asarray(lifetime.observation)[happened],
        "action": chooser.integers(0, int(subject.agent.spec.action_space.n), len(happened)),
        "reward": np.asarray(lifetime.outcome.reward)[happened],
        "next_observation": np.asarray(lifetime.outcome.observation)[happened],
        "terminated": np.asarray(lifetime.outcome.terminated)[happened],
    }
    short = {column: values[: len(happened) - 3] for column, values in one.items()}
    mixed = {column: np.concatenate([one[column], short[column]]) for column in one}
    mixed["lifetime"] = ["long"] * len(happened) + ["short"] * (len(happened) - 3)
    replayed = qs.replay(subject.agent, subject.params, mixed)
    assert replayed.lifetimes == ["long", "short"]
    actor = qs.Actor(subject.agent, subject.params)
    for rows, start, lifetime in ((one, 0, "long"), (short, len(happened), "short")):
        decisions = along(actor, rows)
        part = slice(start, start + len(rows["reward"]))
        assert_close(jax.tree.map(lambda leaf, part=part: leaf[part], replayed.decisions), decisions)
        session, place = actor.session, replayed.lifetimes.index(lifetime)
        assert_close(jax.tree.map(lambda leaf, place=place: leaf[place], replayed.memory), session.memory.memory)
        assert int(replayed.session_of(lifetime).slot) == int(session.slot)
        actor.begin()
    actor.resume(replayed.session_of("short"))
    actor.act(short["next_observation"][-1])  # the lifetime goes on


def rows(**columns):
    return {"observation": [0, 0, 0], "action": [1, 1, 0], "reward": [1.0, 0.0, 1.0]} | columns


def test_the_taken_actions_are_learned_and_rows_may_be_dicts():
    replayed = qs.replay(GREEDY, (), rows())
    np.testing.assert_array_equal(replayed.memory.pulls, [[1, 2]])
    np.testing.assert_array_equal(replayed.memory.successes, [[1, 1]])
    assert replayed.decisions.action.shape == (3,)
    as_dicts = [dict(zip(rows(), each, strict=True)) for each in zip(*rows().values(), strict=True)]
    np.testing.assert_array_equal(qs.replay(GREEDY, (), as_dicts).memory.pulls, [[1, 2]])


def test_a_reward_that_is_not_known_is_not_learned():
    replayed = qs.replay(GREEDY, (), rows(reward=np.array([1.0, np.nan, 1.0])))
    np.testing.assert_array_equal(replayed.memory.pulls, [[1, 1]])


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"actions": [1, 1, 1]}, UnknownNameError, "unknown column 'actions'. Did you mean 'action'"),
        ({"action": [1, 1]}, UsageError, "same number of rows, 1 or more; came observation 3, action 2, reward 3"),
        ({"action": [1, 2, 0]}, SpecError, r"row 1 of the log, column 'action': an action must be .*Discrete\(2\); came 2"),
        ({"reward": [1.0, "x", 0.0]}, SpecError, "row 1 of the log, column 'reward'"),
        ({"terminated": [True, 3, False]}, SpecError, "row 1 of the log, column 'terminated'"),
        ({name: 5 * values[:1] for name, values in rows().items()}, UsageError, "reaches slot 5; the agent was made for 4"),
    ],
)
def test_what_is_wrong_is_named(changed, error, named):
    with pytest.raises(error, match=named):
        qs.replay(GREEDY, (), rows(**changed))


def test_missing_columns_and_rows_are_named():
    with pytest.raises(UsageError, match=r"the rows lack action, reward\. They need observation, action, reward, and may have"):
        qs.replay(GREEDY, (), {"observation": [0]})
    with pytest.raises(UsageError, match="row 1 has other columns than row 0"):
        qs.replay(GREEDY, (), [{"observation": 0, "action": 0, "reward": 1.0}, {"observation": 0, "action": 0}])
    with pytest.raises(UsageError, match="the rows lack observation, action, reward"):
        qs.replay(GREEDY, (), [])
