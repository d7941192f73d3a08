"""Tenants take turns."""

import queue

import pytest

from quickstudy.serving.asked import asked_together
from quickstudy.serving.inbox import Inbox
from quickstudy.serving.requests import Look, SessionName


def asked(tenant, count):
    return asked_together([Look(name=SessionName(tenant, str(number))) for number in range(count)], lambda answers: None)


def names(items):
    return [(one.request.name.tenant, int(one.request.name.session)) for one in items]


def test_a_tenant_that_asks_for_much_does_not_keep_another_waiting():
    inbox = Inbox(4)
    inbox.put(asked("much", 7))
    inbox.put(asked("little", 1))
    assert names(inbox.next()) == [("much", 0), ("much", 1), ("little", 0)]
    inbox.put(asked("little", 2))
    assert names(inbox.next()) == [("much", 2), ("much", 3), ("little", 0), ("little", 1)]
    assert names(inbox.next()) == [("much", 4), ("much", 5), ("much", 6)]


def test_every_tenant_has_its_turn_where_there_are_more_than_a_round_holds():
    inbox = Inbox(2)
    for tenant in "abc":
        inbox.put(asked(tenant, 2))
    rounds = [names(inbox.next()) for _ in range(3)]
    assert rounds == [[("a", 0), ("b", 0)], [("c", 0), ("a", 1)], [("b", 1), ("c", 1)]]


def test_functions_do_not_wait_and_other_items_wait_for_what_was_asked_before():
    inbox = Inbox(1)
    inbox.put(asked("a", 2))
    inbox.put(print)
    inbox.put(("call", 1))
    inbox.put(asked("a", 1))
    inbox.put(None)
    assert inbox.next() is print
    assert [names(inbox.next()) for _ in range(2)] == [[("a", 0)], [("a", 1)]]
    assert inbox.next() == ("call", 1)
    assert names(inbox.next()) == [("a", 0)]
    assert inbox.next() is None
    with pytest.raises(queue.Empty):
        inbox.rest(waits=False)
