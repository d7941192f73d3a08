"""The table of docs/algorithms.md is the one that the code gives now."""

from pathlib import Path

from quickstudy import algorithms
from quickstudy.reports.algorithms_page import PAGE, render_table, write_algorithms_table

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date():
    assert render_table() in (ROOT / PAGE).read_text(), "draw it again with `quickstudy bench page`"


def test_every_algorithm_has_a_line_that_says_when_its_memory_changes():
    lines = {line.split("`")[1]: line for line in render_table().splitlines()[2:]}
    assert set(lines) == set(algorithms.ALGORITHMS)
    assert "| every step |" in lines["rl2"]
    assert "| every 20 episodes |" in lines["maml"]


def test_only_what_stands_between_the_marks_is_written(tmp_path):
    assert write_algorithms_table(tmp_path) == []
    page = tmp_path / PAGE
    page.parent.mkdir()
    page.write_text("before\n<!-- algorithms -->\nold\n<!-- /algorithms -->\nafter\n")
    assert write_algorithms_table(tmp_path) == [page]
    assert page.read_text() == f"before\n<!-- algorithms -->\n{render_table()}\n<!-- /algorithms -->\nafter\n"
