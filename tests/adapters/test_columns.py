"""Columns of people: read by place, whatever labels they have; what is no column or no name is refused by name."""

import numpy as np
import pytest

from quickstudy.adapters.columns import entries, plain_name
from quickstudy.protocol.errors import UsageError


class Table:
    """What a table of pandas shows of itself: its shape, and its rows as an array."""

    def __init__(self, rows):
        self._rows = np.asarray(rows, object)
        self.shape = self._rows.shape

    def __len__(self):
        return len(self._rows)

    def to_numpy(self):
        return self._rows


def test_entries_stand_in_the_order_of_places():
    assert entries("rewards", (1, 2)) == [1, 2]
    assert entries("arms", np.asarray(["a", "b"])) == ["a", "b"]
    first, second = entries("contexts", Table([[0.5, True], [1, False]]))
    assert first.tolist() == [0.5, 1.0]
    assert second.dtype.kind == "i"


def test_columns_of_pandas_are_read_by_place():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"arm": list("abc"), "x": [1.0, 2.0, 3.0], "y": [True, False, True]}, index=[2, 1, 0])
    for column in (table["arm"], table["arm"].astype("category"), table.set_index("arm").index):
        assert entries("decisions", column) == list("abc")
    assert [row.tolist() for row in entries("contexts", table[["x", "y"]])] == [[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]]


@pytest.mark.parametrize("column", ["ann", b"ann", {"ann"}, {"ann": 1}, 7, None, np.asarray(7), (name for name in "ab")])
def test_what_is_no_column_is_refused(column):
    with pytest.raises(UsageError, match=r"groups must be a list, an array or a column of a table.*; came .*in a list"):
        entries("groups", column)


def test_names_are_plain():
    assert type(plain_name("an arm", np.int64(3))) is int
    assert type(plain_name("an arm", np.str_("a"))) is str
    assert plain_name("a group", None) is None
    for name in (float("nan"), np.float32("nan"), ["a"], np.asarray([1])):
        with pytest.raises(UsageError, match=r"the name of a group must be a text, a number or .*; came "):
            plain_name("a group", name)
    pandas = pytest.importorskip("pandas")
    for missing in (pandas.NA, pandas.NaT):
        with pytest.raises(UsageError, match="the name of a group must be"):
            plain_name("a group", missing)
