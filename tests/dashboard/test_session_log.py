"""Decisions with what came of them, also after rollbacks and rollbacks of rollbacks."""

import math

import numpy as np
import pytest

from quickstudy.dashboard.session_log import decision_rows, other_rows
from quickstudy.serving.events import Acted, Frozen, Lapsed, Opened, Rewarded, RolledBack
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.served_agent import GUARD_FALLBACK, GUARD_REASON


def acted(at, name):
    return Acted(at=at, slot=0, decision_id=name, observation=b"", decision=b"", due=None)


def rewarded(at, name, reward):
    return Rewarded(
        at=at, decision_id=name, reward=reward, reward_id="", successor=b"", terminated=False, truncated=False
    )  # fmt: skip


OPENED = Opened(at=0.0, stream="s", policy=SessionPolicy())


def rows_of(*events):
    return decision_rows(list(enumerate([OPENED, *events], start=1)), {})


def test_a_reward_after_a_later_decision_is_late():
    one, two, three = rows_of(
        acted(1.0, "a"), acted(2.0, "b"), rewarded(3.0, "b", 1.0), rewarded(9.0, "a", 0.5), rewarded(9.5, "a", 0.25),
        acted(10.0, "c"), Lapsed(at=20.0, decision_id="c", reward=None),
    )  # fmt: skip
    assert (one.late, one.rewards, one.waited_seconds) == (True, (0.5, 0.25), 8.0)
    assert (two.late, two.rewards, two.waited_seconds) == (False, (1.0,), 1.0)
    assert (three.lapsed, three.rewards, three.waited_seconds) == (True, (), None)


def test_a_rollback_undoes_what_followed():
    rows = rows_of(acted(1.0, "a"), rewarded(2.0, "a", 1.0), acted(3.0, "b"), RolledBack(at=4.0, events=2))
    assert [(row.decision_id, row.undone, row.rewards) for row in rows] == [("a", False, ()), ("b", True, ())]


def test_a_rollback_behind_a_rollback_brings_back_what_was_undone():
    rows = rows_of(acted(1.0, "a"), acted(2.0, "b"), RolledBack(at=3.0, events=2), RolledBack(at=4.0, events=3))
    assert [(row.decision_id, row.undone) for row in rows] == [("a", False), ("b", False)]


def test_other_events_are_told_in_words():
    rows = other_rows(list(enumerate([OPENED, acted(1.0, "a"), Frozen(at=2.0), RolledBack(at=3.0, events=1)], start=1)))
    assert [(row.number, row.kind) for row in rows] == [(1, "opened"), (3, "frozen"), (4, "rolled_back")]
    assert "does not adapt" in rows[1].said


def test_a_decision_is_read_from_its_words():
    words = np.array([2, np.float32(math.log(0.25)).view(np.uint32), np.float32(0.01).view(np.uint32), 3, 1], np.uint32)
    layouts = {
        "observation": [["", "float32", [2], 2]],
        "decision": [
            [".action", "int32", [], 1],
            [".extras['log_probability']", "float32", [], 1],
            [".extras['p_values']['last_steps']", "float32", [], 1],
            [GUARD_REASON, "int32", [], 1],
            [GUARD_FALLBACK, "bool", [], 1],
        ],
    }
    seen = np.array([0.5, -1.0], np.float32).tobytes()
    event = Acted(at=1.0, slot=0, decision_id="a", observation=seen, decision=words.tobytes(), due=None)
    (row,) = decision_rows([(2, event)], layouts)
    assert (row.observation, row.action) == ("0.5, -1", "2")
    assert row.propensity == pytest.approx(0.25)
    assert row.surprise == {"last_steps": pytest.approx(0.01)}
    assert row.guard == {"acted": "fallback", "why": "surprise"}
