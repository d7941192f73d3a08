"""Columns that hold the next value are found, and columns that only look so are not refused."""

import numpy as np
import pytest

from quickstudy.fitting.leaks import Leaks
from quickstudy.fitting.tables import Column, Table
from quickstudy.protocol.errors import UsageError

WANTED = (Column(name="value"),)


def check(values, other, days=None):
    """Looks at one column beside the values of one series."""

    class Frame:
        columns = ("value", "Other Column")

        def iter_rows(self):
            return iter(())

    leaks = Leaks(Table(Frame()), WANTED)
    for place, (value, cell) in enumerate(zip(values, other, strict=True)):
        leaks.add("a", value, {"other_column": cell}, day=days[place] if days is not None else None)
    leaks.check()


COUNTS = np.random.default_rng(0).poisson(5.0, 100)
RARE = (np.random.default_rng(0).random(2000) < 0.03).astype(int)


def test_the_next_value_leaks_whether_rows_begin_with_the_oldest_or_the_newest():
    following, days = np.append(COUNTS[1:], 0), np.arange(100)
    for values, other, when in (
        (COUNTS, following, None),
        (COUNTS, following, days),
        (COUNTS[::-1], following[::-1], days[::-1]),
    ):
        with pytest.raises(UsageError, match="column 'Other Column' holds the value of the next row in 100% of the rows"):
            check(values, other, when)


def test_the_value_before_does_not_leak_in_a_table_that_begins_with_the_newest():
    before, days = np.append(0, COUNTS[:-1]), np.arange(100)
    check(COUNTS[::-1], before[::-1], days[::-1])


def test_rare_events_beside_other_rare_events_do_not_leak_but_the_next_one_does():
    check(RARE, np.zeros(2000))
    check(RARE, 1 - RARE)
    check(RARE, np.roll(RARE, 7))
    with pytest.raises(UsageError, match="leaks the future"):
        check(RARE, np.append(RARE[1:], 0))
