"""The meaning of sessions: rewards join their decisions, windows end, lifetimes begin again, and memories keep their bits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.memory import replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Change, Look, Rollback, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions


class Clock:
    """A clock that tests turn."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def name(session):
    return SessionName("", session)


def memory_of(sessions, session):
    return sessions.shelf.get(name(session)).memories.working


def open_one(served, **more):
    sessions = Sessions(served, **more)
    sessions.open("a")
    return sessions


def pull(sessions, session="a", **more):
    """A decision in a bandit, whose only observation is 0."""
    return sessions.act(session, 0, **more)


def kind_of(refusal):
    return refusal.value.kind, refusal.value.field


def test_a_decision_says_what_was_decided(serve):
    sessions = open_one(serve())
    decision = pull(sessions)
    assert decision["slot"] == 0
    assert decision["action"] in (0, 1, 2)
    assert decision["agent"] == serve().digest
    rewarded = sessions.reward("a", decision["decision_id"], 1.0)
    assert rewarded == {"decision_id": decision["decision_id"], "applied": True, "reason": None}
    assert sessions.ask(Look(name=name("a")))["steps"] == 1


def test_acting_alone_changes_no_memory(serve):
    sessions = open_one(serve())
    before = memory_of(sessions, "a").copy()
    for _ in range(3):
        pull(sessions)
    np.testing.assert_array_equal(memory_of(sessions, "a"), before)


def test_two_servers_decide_alike(serve):
    def decisions():
        sessions = open_one(serve())
        for slot in range(6):
            decision = pull(sessions)
            yield decision
            sessions.reward("a", decision["decision_id"], float(slot % 2))

    assert list(decisions()) == list(decisions())
    other = Sessions(serve(seed=1))
    other.open("a")
    assert [d["action"] for d in decisions()] != [_of_next(other) for _ in range(6)]


def _of_next(sessions):
    decision = pull(sessions)
    sessions.reward("a", decision["decision_id"], 0.5)
    return decision["action"]


def test_requests_together_and_one_by_one_give_the_same_bits(serve):
    names = [f"s{number}" for number in range(20)]

    def run(together):
        sessions = Sessions(serve("walker"), opens=True)
        answers = []
        for slot in range(4):
            requests = [Act(name=name(n), observation=[0.5, slot / 4]) for n in names]
            answers += sessions.process(requests) if together else [sessions.ask(request) for request in requests]
        return answers, [memory_of(sessions, n).tobytes() for n in names]

    assert run(True) == run(False)


def test_a_reward_that_comes_again_changes_nothing(serve):
    sessions = open_one(serve())
    decision = pull(sessions)["decision_id"]
    sessions.reward("a", decision, 1.0)
    before = memory_of(sessions, "a").copy()
    assert sessions.reward("a", decision, 1.0) == {"decision_id": decision, "applied": True, "reason": "repeated"}
    with pytest.raises(Refusal) as refusal:
        sessions.reward("a", decision, 0.0)
    assert kind_of(refusal) == ("conflict", "reward")
    pull(sessions)
    assert sessions.reward("a", decision, 1.0)["reason"] == "repeated"  # also after its step was settled
    np.testing.assert_array_equal(memory_of(sessions, "a"), before)


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), 1e39, "1", None, True])
def test_rewards_that_are_no_finite_numbers_are_refused(serve, reward):
    sessions = open_one(serve())
    decision = pull(sessions)["decision_id"]
    before = memory_of(sessions, "a").copy()
    with pytest.raises(Refusal) as refusal:
        sessions.reward("a", decision, reward)
    assert kind_of(refusal) == ("invalid", "reward")
    np.testing.assert_array_equal(memory_of(sessions, "a"), before)


@pytest.mark.parametrize(
    "observation", [[0.5], [0.5, 2.0], [0.5, float("nan")], "x", None, [[0.5, 0.5]], 0.5, [0.5, "x"], [[1], [2, 3]]]
)
def test_observations_outside_their_space_are_refused(serve, observation):
    sessions = open_one(serve("walker"))
    with pytest.raises(Refusal) as refusal:
        sessions.act("a", observation)
    assert kind_of(refusal) == ("invalid", "observation")
    assert "2 numbers from -1 to 1" in str(refusal.value)
    with pytest.raises(Refusal):
        open_one(serve()).act("a", 1)


def test_decisions_with_an_id_of_the_client_are_safe_to_repeat(serve):
    sessions = open_one(serve("walker"))
    first = sessions.act("a", [0.5, 0.5], decision_id="mine")
    assert sessions.act("a", [0.5, 0.5], decision_id="mine") == first
    with pytest.raises(Refusal) as refusal:
        sessions.act("a", [0.5, 0.25], decision_id="mine")
    assert kind_of(refusal) == ("conflict", "decision_id")
    assert sessions.act("a", [0.5, 0.5], decision_id="other")["slot"] == 1


def test_unknown_sessions_and_decisions(serve):
    sessions = open_one(serve())
    with pytest.raises(Refusal, match="no such session"):
        sessions.act("b", 0)
    with pytest.raises(Refusal, match="no decision 'x'"):
        sessions.reward("a", "x", 1.0)
    with pytest.raises(Refusal, match="already"):
        sessions.open("a")


def test_the_window_ends_without_a_reward(serve):
    clock = Clock()
    sessions = open_one(serve(window_seconds=60), clock=clock)
    before = memory_of(sessions, "a").copy()
    decision = pull(sessions)["decision_id"]
    clock.now += 61
    assert sessions.reward("a", decision, 1.0) == {"decision_id": decision, "applied": False, "reason": "window"}
    np.testing.assert_array_equal(memory_of(sessions, "a"), before)
    assert pull(sessions)["slot"] == 1


def test_a_default_reward_is_a_reward(serve):
    clock = Clock()
    lapsing = open_one(serve(window_seconds=60, default_reward=0.0), clock=clock)
    told = open_one(serve(window_seconds=60, default_reward=0.0), clock=clock)
    pull(lapsing)
    told.reward("a", pull(told)["decision_id"], 0.0)
    clock.now += 61
    pull(lapsing)
    np.testing.assert_array_equal(memory_of(lapsing, "a"), memory_of(told, "a"))


@pytest.mark.parametrize(
    ("aggregate", "joined"), [("sum", 0.7), ("mean", 0.35), ("max", 0.5), ("min", 0.2), ("first", 0.5), ("last", 0.2)]
)
def test_several_rewards_make_one(serve, aggregate, joined):
    clock = Clock()
    many = open_one(serve(window_seconds=60, aggregate=aggregate), clock=clock)
    one = open_one(serve(), clock=clock)
    decision = pull(many)["decision_id"]
    for reward_id, reward in (("x", 0.5), ("y", 0.2), ("x", 0.5)):
        many.reward("a", decision, reward, reward_id=reward_id)
    pull(many)  # the memory of the next decision has the sum so far
    one.reward("a", pull(one)["decision_id"], joined)
    np.testing.assert_array_equal(memory_of(many, "a"), memory_of(one, "a"))
    clock.now += 61
    assert many.reward("a", decision, 9.0, reward_id="z")["applied"] is False
    np.testing.assert_array_equal(memory_of(many, "a"), memory_of(one, "a"))


def test_a_second_reward_without_an_aggregate_is_refused(serve):
    sessions = open_one(serve())
    decision = pull(sessions)["decision_id"]
    sessions.reward("a", decision, 0.5, reward_id="x")
    with pytest.raises(Refusal, match="aggregate"):
        sessions.reward("a", decision, 0.5, reward_id="y")


@pytest.mark.parametrize("at_end", ["stop", "new", "continue"])
def test_the_end_of_the_lifetime(serve, at_end):
    sessions = open_one(serve(at_end=at_end))
    begun = memory_of(sessions, "a").copy()
    late = pull(sessions)["decision_id"]
    for _ in range(9):
        sessions.reward("a", pull(sessions)["decision_id"], 1.0)
    if at_end == "stop":
        with pytest.raises(Refusal, match="lifetime of 10 steps"):
            pull(sessions)
        return
    following = pull(sessions)
    assert following["slot"] == (0 if at_end == "new" else 10)
    assert np.array_equal(memory_of(sessions, "a"), begun) == (at_end == "new")
    rewarded = sessions.reward("a", late, 1.0)
    assert rewarded["reason"] == ("lifetime" if at_end == "new" else None)


def test_a_frozen_session_acts_and_does_not_adapt(serve):
    sessions = open_one(serve())
    sessions.ask(Change(name=name("a"), to="freeze"))
    before = memory_of(sessions, "a").copy()
    decision = pull(sessions)["decision_id"]
    assert sessions.reward("a", decision, 1.0)["reason"] == "frozen"
    np.testing.assert_array_equal(memory_of(sessions, "a"), before)
    sessions.ask(Change(name=name("a"), to="thaw"))
    sessions.reward("a", pull(sessions)["decision_id"], 1.0)
    assert not np.array_equal(memory_of(sessions, "a"), before)


def test_a_session_that_ended_takes_nothing_in(serve):
    sessions = open_one(serve())
    decision = pull(sessions)["decision_id"]
    assert sessions.ask(Change(name=name("a"), to="end"))["ended"]
    assert sessions.reward("a", decision, 1.0)["reason"] == "ended"
    with pytest.raises(Refusal, match="ended"):
        pull(sessions)


def test_a_rollback_undoes_what_followed(serve):
    sessions = open_one(serve())
    sessions.reward("a", pull(sessions)["decision_id"], 1.0)
    at_two, memory = sessions.ask(Look(name=name("a"))), memory_of(sessions, "a").copy()
    undone = pull(sessions)["decision_id"]
    sessions.reward("a", undone, 0.0)
    after = sessions.ask(Rollback(name=name("a"), events=at_two["events"]))
    assert (after["steps"], after["events"]) == (1, at_two["events"] + 3)
    np.testing.assert_array_equal(memory_of(sessions, "a"), memory)
    with pytest.raises(Refusal, match="no decision"):
        sessions.reward("a", undone, 0.0)
    assert pull(sessions)["decision_id"] != undone
    with pytest.raises(Refusal, match="has fewer events"):
        sessions.ask(Rollback(name=name("a"), events=99))


def test_a_fork_goes_on_as_its_original_would(serve):
    sessions = open_one(serve("walker"))
    sessions.reward("a", sessions.act("a", [0.5, 0.5])["decision_id"], 1.0, observation=[0.0, 0.0])
    sessions.open("b", log=sessions.shelf.log(sessions.shelf.get(name("a"))))
    np.testing.assert_array_equal(memory_of(sessions, "a"), memory_of(sessions, "b"))
    one, other = (sessions.act(session, [0.0, 0.0]) for session in "ab")
    assert one | {"session": "b"} == other


def test_within_an_episode_the_observation_that_followed_is_needed(serve):
    sessions = open_one(serve("walker"))
    decision = sessions.act("a", [0.5, 0.5])["decision_id"]
    with pytest.raises(Refusal, match="needs the observation"):
        sessions.reward("a", decision, 1.0)
    assert sessions.reward("a", decision, 1.0, terminated=True)["applied"]
    assert sessions.act("a", [0.5, 0.5])["slot"] == 4  # the first of the second episode


def test_episodes_begin_where_the_client_says_so(serve):
    sessions = open_one(serve("walker"))
    first = sessions.act("a", [0.5, 0.5])["decision_id"]
    assert sessions.act("a", [0.5, 0.5], new_episode=True)["slot"] == 4
    sessions.reward("a", first, 1.0, observation=[0.0, 0.0])
    step = sessions.shelf.get(name("a")).record
    assert step.first == 4  # the reward ended its episode, and is settled
    sessions = open_one(serve("walker"))
    first = sessions.act("a", [0.5, 0.5])["decision_id"]
    sessions.act("a", [0.5, 0.5])
    with pytest.raises(Refusal, match="the episode went on"):
        sessions.reward("a", first, 1.0, terminated=True)
    sessions.reward("a", first, 1.0, observation=[0.0, 0.0])


@pytest.mark.parametrize(
    "settings",
    [
        {"aggregate": "product"},
        {"at_end": "never"},
        {"window_seconds": 0},
        {"window_seconds": float("inf")},
        {"default_reward": 0.0},
        {"aggregate": "sum"},
        {"window_seconds": 1, "default_reward": float("nan")},
    ],
)
def test_policies_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError):
        SessionPolicy(**settings)


def test_agents_that_adapt_rarely_are_served_only_if_asked_for():
    from laws.toy_agents import tally_agent
    from laws.toy_distributions import corridor

    agent = tally_agent(corridor().spec, cadence=4)
    with pytest.raises(UsageError, match="once in 4 steps"):
        ServedAgent(agent, np.float32(1.0))
    ServedAgent(agent, np.float32(1.0), long_chunks=True)


MESSAGES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from([0.0, 0.25, 1.0])), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(messages=MESSAGES)
def test_the_memory_is_the_replay_of_the_log(serve, messages):
    """Whatever comes in whatever order, the memory is a function of the log alone."""
    clock = Clock()
    served = serve("walker", window_seconds=30, default_reward=0.5, aggregate="sum", at_end="new")
    sessions, made, kinds = open_one(served, clock=clock), [], set()
    for kind, back, reward in messages:
        clock.now += 4 * back
        try:
            if kind == 0 or not made:
                made.append(sessions.act("a", [reward, 0.5], new_episode=back == 4)["decision_id"])
            else:
                which = made[max(0, len(made) - 1 - back)]
                more = {"terminated": True} if back == 3 else {"observation": [0.25, 0.5]}
                sessions.reward("a", which, reward, reward_id=str(len(made) % 3), **more)
        except Refusal as refusal:
            kinds.add(refusal.kind)
    assert kinds <= {"conflict"}
    session = sessions.shelf.get(name("a"))
    record = sessions._recorded(sessions.shelf.log(session))
    np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
