"""The audit: the chain verifies, also after a deletion, and every change of a stored log is found."""

import json
import sqlite3

import pytest

from quickstudy import cli
from quickstudy.serving.audit import decision_report, exported, heads, verify
from quickstudy.serving.engine import Engine
from quickstudy.serving.requests import Act, Change, Reward, SessionName
from quickstudy.serving.stores import open_store

A, B = SessionName("default", "a"), SessionName("default", "b")


def lived(serve, url, *, steps=4):
    """Some steps of two sessions; returns the decisions of the first."""
    engine = Engine(serve(at_end="new"), open_store(url))
    engine.start()
    decisions = []
    for slot in range(steps):
        for name in (A, B):
            decision = engine.ask_and_wait(Act(name=name, observation=0))
            engine.ask_and_wait(Reward(name=name, decision_id=decision["decision_id"], reward=float(slot % 2)))
            decisions += [decision] if name is A else []
    engine.ask_and_wait(Change(name=A, to="freeze"))
    engine.stop()
    return decisions


def test_the_chain_verifies_over_several_servers(serve, store_url):
    lived(serve, store_url)
    lived(serve, store_url)
    store = open_store(store_url, serves=False)
    found = verify(store)
    assert found.wrong == []
    assert (found.shards, found.deleted, found.events) == (2, 0, 2 + 2 * 16 + 2)
    (_, others) = sorted(store.shards().values(), key=len)
    assert len(others) == 1  # the second server committed to the last link of the first
    kept = heads(store)
    assert verify(store, kept=kept).wrong == []
    assert len(verify(store, kept={shard: f"1{link}" for shard, link in kept.items()}).wrong) == 2
    store.close()


def test_the_chain_verifies_after_a_session_is_deleted(serve, store_url):
    lived(serve, store_url)
    store = open_store(store_url, serves=False)
    before = verify(store)
    assert store.delete(A)
    after = verify(store)
    assert after.wrong == []
    assert (after.deleted, after.events) == (10, before.events - 10)
    assert "default" in json.dumps([one for one in exported(store) if "tenant" in one])
    assert not [one for one in exported(store) if one.get("session") == "a"]
    store.close()


TAMPERINGS = {
    "another reward": (
        "update event set body = cast(replace(body, x'{one}', x'{zero}') as blob) where kind = 'rewarded' and number = 5"
    ),
    "an event less": "delete from event where of_session = {a} and number = 4",
    "the last event less": "delete from event where of_session = {a} and kind = 'frozen'",
    "another place": "update event set number = number + 100 where of_session = {a} and number = 4",
    "another link": "update link set commitments = zeroblob(length(commitments)) where seq = 3",
    "a link less": "delete from link where seq = 2",
    "another salt": "update event set salt = zeroblob(16) where of_session = {b} and number = 2",
    "another session": "update event set of_session = {b} where of_session = {a} and number = 10",
    "a shard that began elsewhere": 'update shard set others = \'{{"0": "00"}}\'',
}


@pytest.mark.parametrize("change", TAMPERINGS)
def test_changes_of_a_stored_log_are_found(serve, tmp_path, change):
    url = f"sqlite:{tmp_path / 'log.db'}"
    lived(serve, url)
    with sqlite3.connect(tmp_path / "log.db") as connection:
        one, zero = b"\xcb" + b"\x3f\xf0" + b"\0" * 6, b"\xcb" + b"\0" * 8  # 1.0 and 0.0 in MessagePack
        of = {name: f"(select id from session where session = '{name}')" for name in "ab"}
        changed = connection.execute(TAMPERINGS[change].format(one=one.hex(), zero=zero.hex(), **of))
        assert changed.rowcount > 0
    connection.close()
    store = open_store(url, serves=False)
    assert verify(store).wrong
    store.close()


def test_one_decision_is_shown_with_all_that_followed(serve, store_url, capsys):
    decision = lived(serve, store_url)[1]
    store = open_store(store_url, serves=False)
    report = decision_report(store, A, decision["decision_id"])
    store.close()
    acted, rewarded = report["events"]
    assert report["agent"] == decision["agent"]
    assert acted["decision"]["action"] == decision["action"]
    assert (acted["slot"], acted["observation"], rewarded["reward"]) == (1, {"value": 0}, 1.0)
    assert len(acted["chain"]["commitment"]) == 64
    assert cli.main(["audit", "show", store_url, "a", decision["decision_id"]]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(report))
    assert cli.main(["audit", "show", store_url, "a", "nothing"]) == 2


def test_the_command_verifies(serve, tmp_path, capsys):
    url = f"sqlite:{tmp_path / 'log.db'}"
    lived(serve, url)
    assert cli.main(["audit", "heads", url]) == 0
    (tmp_path / "kept.json").write_text(capsys.readouterr().out)
    assert cli.main(["audit", "verify", url, "--kept", str(tmp_path / "kept.json")]) == 0
    assert "The log is whole." in capsys.readouterr().out
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("delete from event where number = 3")
    connection.close()
    assert cli.main(["audit", "verify", url]) == 1
    assert "WRONG: session 'a'" in capsys.readouterr().out
    assert cli.main(["audit", "export", url]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 20
