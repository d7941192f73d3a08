"""The engine on both stores: what is acknowledged is stored, and what is stored is all that is needed."""

import threading

import jax
import numpy as np
import pytest

from quickstudy.serving.chain import new_chain
from quickstudy.serving.engine import Engine
from quickstudy.serving.heads import event_of, restored
from quickstudy.serving.memory import replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import recorded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Change, Look, Open, Reward, Rollback, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores import open_store
from quickstudy.serving.stores.store import StoredChange, StoredEvent, StoreError


def name(session, tenant="t"):
    return SessionName(tenant, session)


def started(serve, url, agent="arms", **more):
    policy = more.pop("policy", {"at_end": "new"})
    engine = Engine(serve(agent, **policy), open_store(url), **more)
    engine.start()
    return engine


def live_for(engine, sessions, steps, *, seed=0):
    """Some steps of some sessions, from a thread for each; rewards are those that the seed says."""

    def one(session):
        random = np.random.default_rng([seed, session])
        for _ in range(steps):
            decision = engine.ask_and_wait(Act(name=name(f"s{session}"), observation=0))
            reward = float(random.integers(2))
            engine.ask_and_wait(Reward(name=name(f"s{session}"), decision_id=decision["decision_id"], reward=reward))

    threads = [threading.Thread(target=one, args=(session,)) for session in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def states(url, serve, names):
    """Record and working memory of stored sessions, each compared with the replay of its log."""
    served, store = serve(at_end="new"), open_store(url, serves=False)
    found = {}
    for one, stored in store.load(names).items():
        session = restored(stored, served)
        record = recorded([event_of(event) for event in store.events(one)], served.spec, cadence=1, policy=served.policy)
        np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
        found[one.session] = (record.lifetime, record.next, session.memories.working.tobytes())
    store.close()
    return found


def test_what_was_answered_is_there_after_a_restart(serve, store_url):
    engine = started(serve, store_url)
    live_for(engine, 8, 6)
    engine.stop()
    names = [name(f"s{number}") for number in range(8)]
    before = states(store_url, serve, names)
    assert {state[:2] for state in before.values()} == {(0, 6)}
    engine = started(serve, store_url)
    live_for(engine, 8, 6, seed=1)
    engine.stop()
    assert {state[:2] for state in states(store_url, serve, names).values()} == {(1, 2)}


def test_a_reward_finds_a_decision_from_before_a_restart(serve, store_url):
    engine = started(serve, store_url)
    decisions = [engine.ask_and_wait(Act(name=name("a"), observation=0))["decision_id"] for _ in range(3)]
    engine.ask_and_wait(Reward(name=name("a"), decision_id=decisions[1], reward=1.0))
    engine.stop()
    engine = started(serve, store_url)
    late = engine.ask_and_wait(Reward(name=name("a"), decision_id=decisions[0], reward=0.5))
    again = engine.ask_and_wait(Reward(name=name("a"), decision_id=decisions[0], reward=0.5))
    with pytest.raises(Refusal, match="rewarded already"):
        engine.ask_and_wait(Reward(name=name("a"), decision_id=decisions[0], reward=1.0))
    assert (late["reason"], again["reason"]) == (None, "repeated")
    repeated = engine.ask_and_wait(Act(name=name("a"), observation=0, decision_id="mine"))
    assert engine.ask_and_wait(Act(name=name("a"), observation=0, decision_id="mine")) == repeated
    engine.stop()
    assert states(store_url, serve, [name("a")])["a"][1] == 4


def test_every_verb_survives_a_restart(serve, store_url):
    engine = started(serve, store_url)
    first = engine.ask_and_wait(Act(name=name("a"), observation=0))
    engine.ask_and_wait(Reward(name=name("a"), decision_id=first["decision_id"], reward=1.0))
    engine.ask_and_wait(Act(name=name("a"), observation=0))
    rolled = engine.ask_and_wait(Rollback(name=name("a"), events=3))
    engine.ask_and_wait(Change(name=name("a"), to="freeze"))
    log = engine.call(lambda shelf: [event_of(event) for event in engine.store.events(name("a"))]).result()
    engine.ask_and_wait(Open(name=name("b"), log=tuple(log)))
    engine.stop()
    engine = started(serve, store_url)
    one, other = (engine.ask_and_wait(Look(name=name(session))) for session in "ab")
    assert one["frozen"]
    assert one["steps"] == rolled["steps"] == 1
    assert other | {"session": "a"} == one
    assert engine.ask_and_wait(Act(name=name("a"), observation=0))["slot"] == 1
    engine.stop()
    found = states(store_url, serve, [name("a"), name("b")])
    assert found["a"][2] == found["b"][2]


def test_a_session_keeps_the_rules_that_it_was_opened_with(serve, store_url):
    engine = started(serve, store_url, policy={"window_seconds": 60, "aggregate": "sum", "at_end": "new"})
    decision = engine.ask_and_wait(Act(name=name("a"), observation=0))["decision_id"]
    engine.ask_and_wait(Reward(name=name("a"), decision_id=decision, reward=0.5, reward_id="x"))
    engine.stop()
    engine = started(serve, store_url)
    assert engine.ask_and_wait(Reward(name=name("a"), decision_id=decision, reward=0.25, reward_id="y"))["applied"]
    other = engine.ask_and_wait(Act(name=name("b"), observation=0))["decision_id"]
    engine.ask_and_wait(Reward(name=name("b"), decision_id=other, reward=0.5, reward_id="x"))
    with pytest.raises(Refusal, match="aggregate"):
        engine.ask_and_wait(Reward(name=name("b"), decision_id=other, reward=0.25, reward_id="y"))
    engine.stop()
    assert set(states(store_url, serve, [name("a"), name("b")])) == {"a", "b"}  # and each is the replay of its log


def test_tenants_do_not_see_one_another(serve, store_url):
    engine = started(serve, store_url)
    engine.ask_and_wait(Act(name=name("a", "one"), observation=0))
    with pytest.raises(Refusal, match="no such session"):
        engine.ask_and_wait(Look(name=name("a", "other")))
    engine.stop()


def test_many_sessions_than_live_ones(serve, store_url):
    engine = started(serve, store_url, most_live=3)
    live_for(engine, 10, 4)
    assert engine.live <= 10
    engine.stop()
    assert {state[1] for state in states(store_url, serve, [name(f"s{n}") for n in range(10)]).values()} == {4}


def test_quotas_and_overload_are_refused_before_anything_is_decided(serve, store_url):
    engine = started(serve, store_url, most_sessions=2, most_waiting=50)
    for session in "ab":
        engine.ask_and_wait(Act(name=name(session), observation=0))
    with pytest.raises(Refusal) as refusal:
        engine.ask_and_wait(Act(name=name("c"), observation=0))
    assert refusal.value.kind == "quota"
    engine.ask_and_wait(Act(name=name("a"), observation=0))
    engine.waiting += 50
    with pytest.raises(Refusal) as refusal:
        engine.ask_and_wait(Act(name=name("a"), observation=0))
    assert refusal.value.kind == "overloaded"
    engine.waiting -= 50
    engine.stop()
    with pytest.raises(Refusal, match="stopping"):
        engine.ask_and_wait(Look(name=name("a")))


def version_of(serve, walker, url, number, **more):
    """An engine with one of several versions of an agent."""
    agent, _ = walker
    served = ServedAgent(
        agent, agent.init(jax.random.key(number)), policy=SessionPolicy(at_end="new"), digest=f"version {number}"
    )
    engine = Engine(served, open_store(url), **more)
    engine.start()
    return engine


def test_sessions_move_to_another_version_by_replay_and_back(serve, walker, store_url):
    def step(engine, number):
        decision = engine.ask_and_wait(Act(name=name("a"), observation=[0.5, number / 8]))
        reward = {"reward": number / 8, "observation": [0.25, 0.5]}
        engine.ask_and_wait(Reward(name=name("a"), decision_id=decision["decision_id"], **reward))

    def memory(engine):
        session = engine._shelf.live[name("a")]
        log = [event_of(event) for event in engine.store.events(name("a"))]
        served = engine.served
        record = recorded(log, served.spec, cadence=1, policy=served.policy)
        np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
        return session.memories.working.tobytes()

    first = version_of(serve, walker, store_url, 0)
    for number in range(5):
        step(first, number)
    before = first.call(lambda shelf: memory(first)).result()
    first.stop()
    second = version_of(serve, walker, store_url, 1)
    with pytest.raises(Refusal, match="moves replay"):
        second.ask_and_wait(Look(name=name("a")))
    second.stop()
    second = version_of(serve, walker, store_url, 1, moves="replay")
    assert second.ask_and_wait(Look(name=name("a")))["steps"] == 5
    assert second.call(lambda shelf: memory(second)).result() != before
    second.stop()
    first = version_of(serve, walker, store_url, 0, moves="replay")
    assert first.ask_and_wait(Look(name=name("a")))["steps"] == 5
    assert first.call(lambda shelf: memory(first)).result() == before
    step(first, 5)
    first.stop()
    second = version_of(serve, walker, store_url, 1, moves="restart")
    assert second.ask_and_wait(Act(name=name("a"), observation=[0.5, 0.5]))["slot"] == 0
    second.stop()


def test_sessions_of_an_agent_for_other_tasks_do_not_move(serve, walker, store_url):
    engine = started(serve, store_url)
    engine.ask_and_wait(Act(name=name("a"), observation=0))
    engine.stop()
    engine = version_of(serve, walker, store_url, 1, moves="replay")
    with pytest.raises(Refusal, match="its spaces or its decisions differ"):
        engine.ask_and_wait(Look(name=name("a")))
    engine.stop()


def test_a_version_that_is_not_the_expected_one_is_left_out(store_url):
    store = open_store(store_url)
    chain = new_chain(store.heads())
    store.add_shard(chain)

    def change(session, expected, version, state):
        event = StoredEvent(name=name(session), number=version, kind="frozen", decision_id=None, body=b"x")
        return StoredChange(
            name=name(session), agent="g", expected=expected, version=version, state=state, at=1.0, due=None, events=[event]
        )

    assert store.commit([change("a", 0, 1, b"1"), change("b", 0, 1, b"1")], chain, durable=True) == set()
    assert store.commit([change("a", 1, 2, b"2"), change("b", 5, 6, b"2")], chain, durable=False) == {name("b")}
    assert store.commit([change("a", 0, 1, b"3")], chain, durable=True) == {name("a")}
    found = store.load([name("a"), name("b"), name("c")])
    assert {one.session: (stored.version, stored.state) for one, stored in found.items()} == {"a": (2, b"2"), "b": (1, b"1")}
    assert [event.number for event in store.events(name("a"))] == [1, 2]
    assert store.counts() == {"t": 2}
    assert store.names("t") == ["a", "b"]
    assert store.names("t", after="a") == ["b"]
    assert store.delete(name("a"))
    assert not store.delete(name("a"))
    assert store.events(name("a")) == []
    assert [link.seq for link in store.links(chain.shard)] == [1, 2, 3]
    assert store.heads()[chain.shard].value == chain.value
    store.probe()
    store.close()


def test_a_store_that_fails_is_told_and_recovers(serve, store_url, monkeypatch):
    engine = started(serve, store_url)
    decision = engine.ask_and_wait(Act(name=name("a"), observation=0))["decision_id"]
    commit, full = engine.store.commit, threading.Event()
    full.set()

    def failing(*arguments, **more):
        if full.is_set():
            raise StoreError("the disk is full.")
        return commit(*arguments, **more)

    probe = engine.store.probe
    monkeypatch.setattr(engine.store, "commit", failing)
    monkeypatch.setattr(engine.store, "probe", lambda: failing([]) if full.is_set() else probe())
    with pytest.raises(Refusal, match="full") as refusal:
        engine.ask_and_wait(Reward(name=name("a"), decision_id=decision, reward=1.0))
    assert refusal.value.kind == "store"
    with pytest.raises(Refusal, match="full"):
        engine.ask_and_wait(Act(name=name("a"), observation=0))
    assert engine.trouble is not None
    assert engine.ask_and_wait(Look(name=name("a")))["session"] == "a"
    full.clear()
    for _ in range(200):
        if engine.trouble is None:
            break
        threading.Event().wait(0.05)
    rewarded = engine.ask_and_wait(Reward(name=name("a"), decision_id=decision, reward=1.0))
    assert rewarded["applied"]
    engine.stop()
    assert states(store_url, serve, [name("a")])["a"][1] == 1
