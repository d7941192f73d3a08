"""Tables as people have them: other spellings that must be read alike, and faults that must be named."""

import datetime
import gzip
import os

import numpy as np
import pytest

from fitting.past_tests import drawn_rows, write_table
from quickstudy.fitting.ab_tests import read_tests
from quickstudy.fitting.tables import Column, Table
from quickstudy.protocol.errors import UsageError

ROWS = drawn_rows(tests=9, users=1000)
LINES = [",".join(map(str, row)) for row in ROWS]
COLUMNS = (Column(name="name"), Column(name="count", kind="whole"), Column(name="clicked", kind="flag", optional=True))


def file_of(tmp_path, content):
    """A file of this text or these bytes."""
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


SPELLINGS = {
    "of Excel": "\ufeff" + "\r\n".join(["test,arm,users,conversions", *LINES, "", ""]),
    "upper-case": "\n".join(["TEST,Variant,USERS, Conversions ", *LINES]),
    "quoted": "\n".join(["test,arm,users,conversions", *[",".join(f'"{cell}"' for cell in line.split(",")) for line in LINES]]),
    "commas at the ends": "\n".join(["test,arm,users,conversions,,", *[f"{line},," for line in LINES]]),
    "an index": "\n".join([",test,arm,users,conversions", *[f"{place},{line}" for place, line in enumerate(LINES)]]),
    "other order": "\n".join(["conversions,users,arm,test", *[",".join(line.split(",")[::-1]) for line in LINES]]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_one_table_are_read_alike(spelling, tmp_path):
    expected = read_tests(write_table(tmp_path / "plain.csv", ROWS))
    assert read_tests(file_of(tmp_path, SPELLINGS[spelling])) == expected


FAULTS = {
    "semicolons": (b"name;count\na;1\n", r"the line of headers has no comma: 'name;count'. Save the table with commas"),
    "nothing": (b"\n\n", "table.csv is empty. Name a CSV file with a line of headers"),
    "infinite": (b"name,count\na,inf\n", "'inf' is not finite. Write a finite number, or leave out the row"),
    "headers alike": (b"name,Count,count\na,1,2\n", "the headers 'Count' and 'count' are the same name"),
    "an open quote": (
        b'name,count\na,1\n"b,2\nc,3\n',
        "line 3: the row has 1 cells and the table 2 headers. A quote that begins",
    ),
    "a long open quote": (
        b'name,count\na,1\n"' + b"b,2\n" * 40_000,
        "line 3: field larger than field limit .* A quote in this line",
    ),
    "another code, far in": (
        b"name,count\n" + b"a,1\n" * 5000 + "é,1\n".encode("latin-1"),
        "line 5002: this is not UTF-8 text",
    ),
    "an archive": (gzip.compress(b"name,count\na,1\n"), "line 1: this is not UTF-8 text. .* not as a workbook or an archive"),
    "another header": (b"name,COUNT\na,x\n", "line 2, column COUNT: 'x' is no number. Write numbers like 1234.5, without"),
    "a percentage": (b"name,count\na,5%\n", "'5%' is no number"),
    "an underscore": (b"name,count\na,1_0\n", "'1_0' is no number"),
    "a word for empty": (b"name,count\nnone,1\n", "line 2, column name: the cell is empty, as 'none' says"),
    "too large": (b"name,count\na,1e16\n", r"'1e16' is too large; at most 1e\+15 is allowed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_file_are_named(fault, tmp_path):
    content, said = FAULTS[fault]
    with pytest.raises(UsageError, match=said):
        list(Table(file_of(tmp_path, content)).rows(COLUMNS))


def test_flags_may_be_words():
    frame = _Frame([("a", 1, True), ("b", 1, "false"), ("c", 1, "True"), ("d", 1, 0)], ("name", "count", "clicked"))
    assert [row["clicked"] for _, row in Table(frame).rows(COLUMNS)] == [1, 0, 1, 0]


class _Missing:
    def __str__(self):
        return "<NA>"


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), _Missing()], ids=str)
def test_missing_cells_of_frames_are_empty(missing):
    with pytest.raises(UsageError, match="line 2, column name: the cell is empty"):
        list(Table(_Frame([("a", 1), (missing, 2)], ("name", "count"))).rows(COLUMNS))
    with pytest.raises(UsageError, match="line 1, column count: the cell is empty"):
        list(Table(_Frame([("a", missing)], ("name", "count"))).rows(COLUMNS))


def test_frames_of_pandas_with_other_types_are_read_alike():
    pandas = pytest.importorskip("pandas")
    plain = pandas.DataFrame(ROWS, columns=["test", "arm", "users", "conversions"])
    expected = read_tests(plain)
    assert read_tests(plain.convert_dtypes()) == expected
    assert read_tests(plain.astype({"test": "category", "arm": "category", "users": "float32"})) == expected
    dated = plain.assign(day=pandas.Timestamp("2026-03-31", tz="UTC"))
    assert read_tests(dated).days == [1] * 9
    dated["day"] = dated["day"].astype(object)
    dated.loc[4, "day"] = pandas.NaT
    with pytest.raises(UsageError, match="line 5, column day: the cell is empty, as 'NaT' says"):
        read_tests(dated)


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is a folder, or a pipe that cannot be read twice"):
        Table(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe that cannot be read twice"):
        Table(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be read: Not a directory"):
        Table(file_of(tmp_path, "name,count\n") / "more.csv")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = file_of(tmp_path, "name,count\na,1\n")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UsageError, match=r"table\.csv cannot be read: Permission denied. Name a CSV file"):
        Table(path)


def test_the_same_day_twice_is_shown_as_a_day():
    rows = [(*row, datetime.date(2026, 3, 31)) for row in [*ROWS, ROWS[0]]]
    with pytest.raises(UsageError, match=r"lines 1 and 19 are rows of the same thing \(t0, control, 2026-03-31\)"):
        read_tests(_Frame(rows, ("test", "arm", "users", "conversions", "day")))


class _Frame:
    """What is read of a frame of polars."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns

    def iter_rows(self):
        return iter(self.rows)
