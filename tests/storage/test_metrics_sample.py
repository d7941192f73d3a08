"""A part of a file of metrics: its last lines, and lines chosen evenly; damaged ones are counted and left out."""

import json

import pytest

from quickstudy.storage.metrics_file import MetricsFile
from quickstudy.storage.metrics_sample import evenly_chosen_lines, last_lines


def updates(sample):
    return [line["update"] for line in sample.lines]


@pytest.fixture
def path(tmp_path):
    """A file of 100 lines, of which every tenth has an evaluation."""
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for update in range(1, 101):
        file.append({"update": update, "steps": 10 * update} | ({"held_out_return": [1.0]} if update % 10 == 0 else {}))
    return tmp_path / "metrics.jsonl"


def test_the_last_lines_are_whole_ones(path):
    assert updates(last_lines(path)) == list(range(76, 101))
    assert updates(last_lines(path, most=1000)) == list(range(1, 101))
    assert updates(last_lines(path, most=2, holding='"update": 50,')) == [50, 99, 100]
    assert updates(last_lines(path, most=2, holding='"held_out_return"')) == [99, 100]  # the last one holds it
    few = last_lines(path, most_bytes=300)
    assert 2 <= len(few.lines) <= 5
    assert updates(few)[-1] == 100
    assert few.damaged == 0
    with path.open("a") as file:
        file.write('{"update": 101, "st')
    assert updates(last_lines(path, most_bytes=300))[-1] == 100


def test_lines_are_chosen_evenly_and_the_last_one_always(path):
    assert updates(evenly_chosen_lines(path, most=4, names=("steps", "update"))) == [1, 34, 67, 100]
    assert evenly_chosen_lines(path, most=3, names=("steps", "held_out_return")).lines == [
        {"steps": steps, "held_out_return": [1.0]} for steps in (100, 500, 1000)
    ]
    assert len(evenly_chosen_lines(path, most=1000, names=("update",)).lines) == 100
    assert evenly_chosen_lines(path, most=3, names=("steps", "nothing")).lines == []


def test_values_are_the_same_with_a_digest_and_without_one(tmp_path):
    lines = [
        {"update": 1, "name": "steps", "steps": 3, "none": [], "returns": [1.5, -2e-07]},
        {"update": 2, "returns": [True, 1]},
    ]
    MetricsFile(tmp_path / "with").append(lines[0])
    (tmp_path / "without").write_text(json.dumps(lines[0]) + "\n", encoding="utf-8")
    names = ("steps", "none", "returns")
    (one,) = evenly_chosen_lines(tmp_path / "with", most=9, names=names).lines
    (other,) = evenly_chosen_lines(tmp_path / "without", most=9, names=names).lines
    assert one == {name: other[name] for name in names} == {"steps": 3, "none": [], "returns": [1.5, -2e-07]}
    MetricsFile(tmp_path / "with").append(lines[1])
    assert evenly_chosen_lines(tmp_path / "with", most=9, names=names).lines[1] == {}  # a word is no number


def test_a_line_that_is_being_written_is_not_looked_at(path):
    with path.open("a", encoding="utf-8") as file:
        file.write('{"update": 101, "steps": 1010')
    assert updates(evenly_chosen_lines(path, most=2, names=("update",))) == [1, 100]
    assert updates(evenly_chosen_lines(path, most=1000, names=("update",)))[-1] == 100


def test_damaged_lines_are_counted_and_left_out(path):
    path.write_text(path.read_text().replace('"steps": 990', '"steps": 991'))
    assert (updates(last_lines(path))[-2:], last_lines(path).damaged) == ([98, 100], 1)
    assert evenly_chosen_lines(path, most=1000, names=("update",)).damaged == 1


def test_no_file_has_no_lines(tmp_path):
    assert last_lines(tmp_path / "none").lines == evenly_chosen_lines(tmp_path / "none", most=3, names=("update",)).lines == []
