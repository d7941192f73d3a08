"""Versions of an agent: promotion and rollback under load, sessions that stay, move or restart, and shadows."""

import itertools
import threading

import jax
import numpy as np
import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.audit import decision_report
from quickstudy.serving.engine import Engine
from quickstudy.serving.events import Shadowed
from quickstudy.serving.heads import event_of
from quickstudy.serving.memory import replayed
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import recorded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Look, Open, Reward, Rollback, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions
from quickstudy.serving.stores import open_store
from quickstudy.serving.versions import Versions

A, B = SessionName("t", "a"), SessionName("t", "b")


@pytest.fixture(scope="module")
def version(walker):
    """`(number) -> ServedAgent`: versions of one agent, with parameters and randomness of their own."""
    made = {}

    def make(number):
        agent, _ = walker
        if number not in made:
            made[number] = ServedAgent(
                agent, agent.init(jax.random.key(number)), policy=SessionPolicy(at_end="new"), seed=number, digest=f"v{number}"
            )
        return made[number]

    return make


def engine_of(url, served, **more):
    engine = Engine(served, open_store(url), versions=Versions(served, **more))
    engine.start()
    return engine


def step(engine, name, number):
    """A decision and its reward; the answer to the decision."""
    decision = engine.ask_and_wait(Act(name=name, observation=[0.5, number % 8 / 8]))
    told = {"reward": number % 8 / 8, "observation": [0.25, 0.5]}
    engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], **told))
    return decision


def log_of(engine, name):
    return engine.call(lambda shelf: [event_of(event) for event in engine.store.events(name)]).result()


def memory_of(engine, name, served):
    """The memory of a live session, which must be the replay of its log with a version."""
    log = log_of(engine, name)
    session = engine._shelf.live[name]
    record = recorded(log, served.spec, cadence=1, policy=served.policy)
    np.testing.assert_array_equal(session.memories.working, replayed(served.programs, record, served.key(record)))
    return session.memories.working.tobytes()


def test_a_pinned_session_stays_with_its_version(version, store_url):
    versions = {f"v{number}": version(number) for number in range(2)}
    engine = engine_of(store_url, version(0), moves="pin", find=versions.get)
    for number in range(3):
        assert step(engine, A, number)["agent"] == "v0"
    engine.promote(version(1), moves="pin").result()
    assert step(engine, A, 3)["agent"] == "v0"
    assert step(engine, B, 0)["agent"] == "v1"
    memory_of(engine, A, version(0))
    memory_of(engine, B, version(1))
    engine.stop()
    engine = engine_of(store_url, version(1), moves="pin", find=versions.get)  # it finds the version after a restart
    assert [step(engine, name, 4)["agent"] for name in (A, B)] == ["v0", "v1"]
    assert engine.ask_and_wait(Look(name=A))["steps"] == 5
    engine.stop()
    engine = engine_of(store_url, version(1), moves="pin")  # and refuses the session where it does not
    with pytest.raises(Refusal, match="another version"):
        engine.ask_and_wait(Look(name=A))
    assert step(engine, B, 5)["agent"] == "v1"
    engine.stop()


def test_sessions_are_replayed_onto_a_version_and_back_to_the_same_bits(version, store_url):
    engine = engine_of(store_url, version(0), moves="replay")
    for number in range(5):
        step(engine, A, number)
    before = memory_of(engine, A, version(0))
    engine.promote(version(1), moves="replay").result()
    assert engine.ask_and_wait(Look(name=A))["agent"] == "v1"
    assert memory_of(engine, A, version(1)) != before
    engine.promote(version(0), moves="replay").result()
    assert engine.ask_and_wait(Look(name=A))["agent"] == "v0"
    assert memory_of(engine, A, version(0)) == before
    assert step(engine, A, 5)["slot"] == 5
    engine.stop()


def test_sessions_restart_with_a_version(version, store_url):
    engine = engine_of(store_url, version(0), moves="restart")
    late = engine.ask_and_wait(Act(name=A, observation=[0.5, 0.5]))["decision_id"]
    engine.promote(version(1), moves="restart").result()
    decision = step(engine, A, 0)
    assert (decision["agent"], decision["slot"]) == ("v1", 0)
    told = engine.ask_and_wait(Reward(name=A, decision_id=late, reward=1.0, observation=[0.25, 0.5]))
    assert told["reason"] == "lifetime"
    memory_of(engine, A, version(1))
    engine.stop()


def test_a_session_that_moves_is_whole_after_any_request(version, store_url):
    """Also after one that is refused."""
    engine = engine_of(store_url, version(0), moves="replay")
    step(engine, A, 0)
    engine.promote(version(1), moves="replay").result()
    with pytest.raises(Refusal, match="of this name already"):
        engine.ask_and_wait(Open(name=A))
    assert step(engine, A, 1)["agent"] == "v1"
    memory_of(engine, A, version(1))
    engine.stop()


def test_a_reward_joins_its_decision_across_a_promotion(version, store_url):
    engine = engine_of(store_url, version(0), moves="replay")
    late = engine.ask_and_wait(Act(name=A, observation=[0.5, 0.5]))["decision_id"]
    step(engine, A, 1)
    engine.promote(version(1), moves="replay").result()
    reward = Reward(name=A, decision_id=late, reward=1.0, observation=[0.25, 0.5])
    assert engine.ask_and_wait(reward)["reason"] is None
    assert engine.ask_and_wait(reward)["reason"] == "repeated"
    memory_of(engine, A, version(1))
    engine.stop()


def test_promotions_under_load_refuse_nothing(version, store_url):
    """Clients go on while versions change; each request is answered, and each memory is the replay of its log."""
    versions = {f"v{number}": version(number) for number in range(2)}
    engine = engine_of(store_url, version(0), moves="pin", find=versions.get)
    stopping, errors, seen = threading.Event(), [], set()

    def client(number):
        name = itertools.cycle(SessionName("t", f"s{number}-{session}") for session in range(2))
        try:
            for count in itertools.count():
                if stopping.is_set():
                    return
                seen.add(step(engine, next(name), count // 2)["agent"])
        except Exception as error:
            errors.append(error)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in clients:
        thread.start()
    for number, moves in ((1, "pin"), (0, "replay"), (1, "replay"), (0, "restart"), (1, "replay"), (0, "replay")):
        engine.promote(version(number), moves=moves).result()
        threading.Event().wait(0.2)
    stopping.set()
    for thread in clients:
        thread.join(60)
    assert errors == []
    assert seen == {"v0", "v1"}
    for number, session in itertools.product(range(4), range(2)):
        name = SessionName("t", f"s{number}-{session}")
        assert engine.ask_and_wait(Look(name=name))["agent"] == "v0"
        memory_of(engine, name, version(0))
    engine.stop()


@pytest.mark.slow
def test_a_server_that_is_behind_does_not_move_a_session_back(version, postgres):
    url = postgres.database("behind")
    versions = {f"v{number}": version(number) for number in range(2)}
    ahead, behind = (
        engine_of(url, version(number), moves="replay", find=versions.get, named=lambda: "v1") for number in (1, 0)
    )
    assert step(ahead, A, 0)["agent"] == "v1"
    assert step(behind, A, 1)["agent"] == "v1"
    assert step(ahead, A, 2)["agent"] == "v1"
    assert not [event for event in log_of(ahead, A) if event.kind == "moved"]
    for engine in (ahead, behind):
        engine.stop()


def test_forks_and_imports_stay_with_the_version_of_the_original(version, store_url):
    versions = {f"v{number}": version(number) for number in range(2)}
    engine = engine_of(store_url, version(0), moves="pin", find=versions.get)
    step(engine, A, 0)
    log = tuple(log_of(engine, A))
    engine.promote(version(1), moves="pin").result()
    opened = engine.ask_and_wait(Open(name=B, log=log, agent="v0"))
    assert opened["agent"] == "v0"
    assert step(engine, B, 1) | {"session": "a"} == step(engine, A, 1)
    engine.stop()


def test_a_shadow_decides_as_its_version_would_after_a_replay(version):
    """Rewards come late and out of order, lifetimes begin again, and a rollback comes at the end."""
    sessions, name = Sessions(version(0), shadow=version(1)), SessionName("", "a")
    sessions.open("a")

    def log():
        return sessions.shelf.log(sessions.shelf.get(name))

    def act(number):
        observation, moved = [0.5, number % 8 / 8], Sessions(version(1))
        moved.open("a", log=log())
        expected = moved.act("a", observation)
        decision_id = sessions.act("a", observation)["decision_id"]
        made = log()[-1]
        assert isinstance(made, Shadowed)
        assert (made.agent, made.decision_id) == ("v1", decision_id)
        assert version(1).shown(made.decision)["propensity"] == expected["propensity"]
        assert version(1).shown(made.decision)["action"] == expected["action"]
        return decision_id

    made = []
    for number in range(18):
        made.append(act(number))
        if number % 3 == 2:
            for one in (number, number - 2):
                sessions.reward("a", made[one], one / 18, observation=[0.25, 0.5])
    sessions.ask(Rollback(name=name, events=len(log()) - 4))
    act(18)


def test_a_shadow_changes_nothing_and_goes_on_after_a_restart(version, store_url):
    """It is fed in the middle of a lifetime, stored with the session, and let go of."""
    plain = Sessions(version(0))
    plain.open("a", tenant="t")
    engine = engine_of(store_url, version(0), moves="pin")

    def both(number):
        mine = step(engine, A, number)
        other = plain.act("a", [0.5, number % 8 / 8], tenant="t")
        plain.reward("a", other["decision_id"], number % 8 / 8, tenant="t", observation=[0.25, 0.5])
        assert mine == other
        return mine

    for number in range(3):
        both(number)
    engine.promote(version(0), moves="pin", shadow=version(1)).result()
    for number in range(3, 6):
        both(number)
    engine.stop()
    engine = engine_of(store_url, version(0), moves="pin", shadow=version(1))
    for number in range(6, 8):
        mine = both(number)
    report = engine.call(lambda shelf: decision_report(engine.store, A, mine["decision_id"])).result()
    told = [event for event in report["events"] if event["kind"] == "shadowed"]
    assert [(event["agent"], "action" in event["decision"]) for event in told] == [("v1", True)]
    shadow = engine._shelf.live[A].shadow
    log = log_of(engine, A)
    record = recorded(log, version(1).spec, cadence=1, policy=version(1).policy)
    np.testing.assert_array_equal(shadow.memories.working, replayed(version(1).programs, record, version(1).key(record)))
    assert sum(isinstance(event, Shadowed) for event in log) == 5
    engine.promote(version(0), moves="pin").result()
    both(8)
    assert engine._shelf.live[A].shadow is None
    engine.stop()


def test_a_shadow_must_fit(version, serve):
    with pytest.raises(UsageError, match="cannot shadow"):
        Sessions(version(0), shadow=serve())


def test_unknown_rules_are_refused(version):
    with pytest.raises(UsageError, match="refuse, pin, replay, restart; came 'move'"):
        Versions(version(0), moves="move")
