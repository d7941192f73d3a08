"""What is stored of a session gives the session back: its state holds no steps, and its events tell them."""

import contextlib
import sqlite3
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from laws.toy_agents import trace_agent
from laws.toy_distributions import corridor
from quickstudy.serving.audit import verify
from quickstudy.serving.engine import Engine
from quickstudy.serving.heads import encoded, event_of, restored, stored_event
from quickstudy.serving.memory import replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import recorded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Change, Look, Reward, Rollback, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions
from quickstudy.serving.stores import open_store
from quickstudy.serving.stores.store import StoredSession

A = SessionName("", "a")
FORMAT_1 = Path(__file__).with_name("format_1.sql")
"""A store that an earlier version has written, with steps in the states of its sessions."""


def again(session, served):
    """A session as a store gives it back."""
    events = [stored_event(session.name, number, event) for number, event in enumerate(session.fresh, 1)]
    since = session.record.since
    after = [] if since is None else [event for event in events if event.number > since]
    return restored(StoredSession(session.name, session.agent, session.version, encoded(session), since, after), served)


OPERATIONS = st.one_of(
    st.tuples(st.just("act"), st.booleans()),
    st.tuples(st.just("reward"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("change"), st.sampled_from(["freeze", "thaw"])),
    st.tuples(st.just("rollback"), st.integers(0, 8)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


@pytest.fixture(scope="module", params=[1, 2])
def served(request):
    agent = trace_agent(corridor().spec, cadence=request.param)
    made = ServedAgent(agent, agent.init(jax.random.key(0)), long_chunks=True)
    policies = [
        SessionPolicy(at_end="new"),
        SessionPolicy(at_end="new", window_seconds=60, aggregate="sum", default_reward=0.5),
    ]

    def with_policy(number):
        made.policy = policies[number]
        return made

    return with_policy


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(policy=0, operations=[("change", "freeze"), ("act", False), ("act", False), ("reward", 0, False)])
@given(policy=st.integers(0, 1), operations=st.lists(OPERATIONS, min_size=1, max_size=30))
def test_the_stored_session_is_the_live_one(served, policy, operations):
    now, decisions = [1000.0], []
    sessions = Sessions(served(policy), clock=lambda: now[0])
    sessions.open("a")
    for number, (verb, *values) in enumerate(operations):
        with contextlib.suppress(Refusal):  # some of these requests cannot be
            if verb == "act":
                seen = [0.25, number / 32]
                decisions.append(sessions.ask(Act(name=A, observation=seen, new_episode=values[0]))["decision_id"])
            elif verb == "reward" and decisions:
                more = {"observation": [0.5, 0.5], "terminated": values[1], "reward_id": str(number)}
                decision = decisions[max(0, len(decisions) - 1 - values[0])]
                sessions.ask(Reward(name=A, decision_id=decision, reward=number / 4, **more))
            elif verb == "change":
                sessions.ask(Change(name=A, to=values[0]))
            elif verb == "rollback":
                events = sessions.ask(Look(name=A))["events"]
                sessions.ask(Rollback(name=A, events=max(1, events - values[0])))
            elif verb == "wait":
                now[0] += values[0]
        live = sessions.shelf.get(A)
        found = again(live, sessions.served)
        assert vars(found.record) == vars(live.record)
        assert list(found.record.steps) == list(live.record.steps)
        assert found.memories.folded == live.memories.folded
        for part in ("key", "settled", "working"):
            np.testing.assert_array_equal(getattr(found.memories, part), getattr(live.memories, part))


def test_the_state_does_not_grow_with_open_decisions(served):
    sessions = Sessions(served(0))
    sessions.open("a")
    sizes = set()
    for number in range(4):
        sessions.act("a", [0.5, number / 8])
        sizes.add(len(encoded(sessions.shelf.get(A))))
    assert len(sizes) == 1


@pytest.fixture
def format_1(store_url, tmp_path, request):
    """The address of a store of format 1."""
    path = tmp_path / "format_1.db"
    old = sqlite3.connect(path)
    old.executescript(FORMAT_1.read_text())
    if store_url.startswith("sqlite:"):
        old.close()
        return f"sqlite:{path}"
    import psycopg

    first = Path(open_store.__code__.co_filename).with_name("sql") / "postgres" / "0001_sessions.sql"
    with psycopg.connect(store_url) as new:
        new.execute(first.read_text())
        new.execute("create table meta (format bigint not null)")
        new.execute("insert into meta values (1)")
        for table in ("agent", "session", "event", "shard", "link"):
            for row in old.execute(f"select * from {table}"):
                new.execute(f"insert into {table} values ({', '.join(['%s'] * len(row))})", row)
    old.close()
    return store_url


def test_a_store_of_format_1_goes_on(serve, format_1):
    engine = Engine(serve(at_end="new"), open_store(format_1))
    engine.start()
    names = [SessionName("t", session) for session in ("settled", "open", "frozen", "back")]
    states = {name.session: engine.ask_and_wait(Look(name=name)) for name in names}
    assert {name: state["steps"] for name, state in states.items()} == {"settled": 3, "open": 5, "frozen": 4, "back": 4}
    assert {name: state["open"] for name, state in states.items()} == {"settled": 0, "open": 3, "frozen": 2, "back": 3}
    log = {name: [event_of(event) for event in engine.store.events(name)] for name in names}
    asked = next(event for event in log[names[1]] if event.kind == "acted")
    assert engine.ask_and_wait(Reward(name=names[1], decision_id=asked.decision_id, reward=1.0))["applied"]
    rewarded = next(event for event in log[names[0]] if event.kind == "rewarded")
    known = {"decision_id": rewarded.decision_id, "reward": rewarded.reward}
    assert engine.ask_and_wait(Reward(name=names[0], **known))["reason"] == "repeated"
    for name in names:
        engine.ask_and_wait(Act(name=name, observation=0))
    engine.stop()
    store, served = open_store(format_1, serves=False), serve(at_end="new")
    assert verify(store).wrong == []
    for name, stored in store.load(names).items():
        session = restored(stored, served)
        record = recorded([event_of(event) for event in store.events(name)], served.spec, cadence=1, policy=served.policy)
        np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
        assert all(slot >= session.record.first for slot in session.record.steps)
        assert session.record.open == states[name.session]["open"] + 1 - (name.session == "open")
    store.close()
