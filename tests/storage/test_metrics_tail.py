"""Lines of a file of metrics as they are added: each once, whatever happens to the file meanwhile."""

import os

import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.metrics_file import MetricsFile
from quickstudy.storage.metrics_tail import MetricsTail


def updates(tail):
    return [line["update"] for line in tail.new_lines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def add(path, *numbers):
    for number in numbers:
        MetricsFile(path).append({"update": number, "loss": [0.5 * number]})


def test_lines_come_once_as_they_are_added(path):
    tail = MetricsTail(path)
    assert updates(tail) == []
    add(path, 1, 2)
    assert tail.new_lines() == [{"update": 1, "loss": [0.5]}, {"update": 2, "loss": [1.0]}]
    assert updates(tail) == []
    add(path, 3)
    assert updates(tail) == [3]


def test_a_line_without_an_end_waits_for_it(path):
    add(path, 1)
    tail, whole = MetricsTail(path), path.read_bytes()
    add(path, 2)
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        assert updates(tail) == ([1] if cut == len(whole) else [])
    path.write_bytes(both)
    assert updates(tail) == [2]
    assert tail.damaged == 0


def test_a_run_that_goes_on_from_a_checkpoint_repeats_nothing(path):
    add(path, 1, 2, 3, 4)
    tail = MetricsTail(path)
    assert updates(tail) == [1, 2, 3, 4]
    MetricsFile(path).keep(2)
    assert updates(tail) == []
    add(path, 3, 4, 5)
    assert updates(tail) == [5]


def test_a_file_that_was_written_again_is_read_from_its_start(path):
    add(path, 1, 2)
    tail = MetricsTail(path)
    assert updates(tail) == [1, 2]
    path.unlink()
    add(path, *range(1, 20))  # longer than before, so its length alone tells nothing
    MetricsFile(path).keep(19)
    changed = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(changed[:1] + changed[2:]), encoding="utf-8")
    assert updates(tail) == list(range(3, 20))


def test_damaged_lines_are_counted_and_left_out(path):
    add(path, 1, 2, 3)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(lines[0] + lines[1].replace("1.0", "9.0") + lines[2], encoding="utf-8")
    tail = MetricsTail(path)
    assert updates(tail) == [1, 3]
    assert tail.damaged == 1


def test_something_else_than_a_file_is_refused(path):
    os.mkfifo(path)
    with pytest.raises(UsageError, match="a device, a pipe"):
        MetricsTail(path).new_lines()
