"""The results on a terminal: whole numbers or none, and the words of the reader."""

import dataclasses
import io

import pytest
from rich.console import Console

from quickstudy.evaluation.numbers import bounded
from quickstudy.evaluation.summary import table
from quickstudy.reports.wording import Wording
from reports.made_evaluation import made

LEVELS = {"rl2": 0.85, "Bayes optimum (exact)": 0.8, "Thompson sampling": 0.7, "random": 0.2}


def printed(evaluation, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(evaluation, width=width))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("scale", [1, 1e3])
def test_no_table_is_wider_than_the_terminal(width, scale):
    found = made(LEVELS)
    results = {
        name: dataclasses.replace(
            result,
            lifetime_return=dataclasses.replace(
                result.lifetime_return,
                **{end: scale * getattr(result.lifetime_return, end) for end in ("value", "low", "high")},
            ),
        )
        for name, result in found.results.items()
    }
    evaluation = dataclasses.replace(found, results=results)
    text = printed(evaluation, width)
    kept = ["return", "gain", "minus rl2", *(["score", "to 90 %"] if width > 100 else [])]
    assert all(heading in text for heading in kept)
    for result in results.values():
        assert bounded(result.lifetime_return) in text
    assert all(bounded(one.reversed().difference, signed=True) in text for one in evaluation.comparisons)
    assert "from the first to the last 2 steps" in " ".join(text.split())


def test_a_table_has_the_words_of_its_reader():
    shown, say = Wording(agent="Our site", unit="conversions", step="visitor").of(made(LEVELS))
    drawn = table(shown, width=200, say=say)
    headings = [str(column.header) for column in drawn.columns]
    assert headings[:3] == ["agent", "conversions", "gain"]
    assert "minus Our site" in headings
    assert "visitors\nto 90 %" in headings
    assert drawn.caption.endswith("from the first to the last 2 visitors")
