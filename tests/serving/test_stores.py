"""Lists of a store: in the order of names, page by page, searched, and by decision; the same in every store."""

import pytest

from quickstudy.serving.chain import Chain
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores import open_store
from quickstudy.serving.stores.store import ListedSession, StoredChange, StoredEvent


def change(tenant, session, *, at, decision_id=None):
    name = SessionName(tenant, session)
    event = StoredEvent(name=name, number=1, kind="acted", decision_id=decision_id, body=b"x")
    return StoredChange(
        name=name, agent="a" * 64, expected=0, version=1, state=b"state", at=at, due=None, events=[event]
    )  # fmt: skip


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    chain = Chain("shard", {})
    store.add_shard(chain)
    named = [("acme", "b-2"), ("acme", "a-1"), ("acme", "a%2"), ("acme", "c-1"), ("other", "a-1")]
    changes = [change(*name, at=float(place), decision_id=f"visit-{place % 2}") for place, name in enumerate(named)]
    store.commit(changes, chain, durable=True)
    yield store
    store.close()


def names(listed):
    return [one.session for one in listed]


def test_pages_go_on_after_a_name(store):
    assert names(store.listed("acme", limit=3)) == ["a%2", "a-1", "b-2"]
    assert names(store.listed("acme", limit=3, after="b-2")) == ["c-1"]
    assert store.listed("acme", after="a-1", limit=1) == [ListedSession("b-2", "a" * 64, 0.0, 0.0)]
    assert store.listed("nobody") == []


def test_a_search_is_a_part_of_the_name_and_no_pattern(store):
    assert names(store.listed("acme", holding="-1")) == ["a-1", "c-1"]
    assert names(store.listed("acme", holding="%")) == ["a%2"]
    assert names(store.listed("acme", holding="-1", after="a-1")) == ["c-1"]


def test_a_decision_is_found_without_its_session(store):
    assert store.deciding("acme", "visit-0") == ["a%2", "b-2"]
    assert store.deciding("acme", "visit-1", limit=1) == ["a-1"]
    assert store.deciding("other", "visit-1") == []
