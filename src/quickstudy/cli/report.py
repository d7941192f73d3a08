"""`quickstudy report FOLDER`: draws the page of a run or a comparison from what was measured."""

import dataclasses

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import say
from quickstudy.reports.run_report import report_on

_USAGE = "quickstudy report FOLDER [--title TITLE]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """How the page is headed."""

    title: str | None = None
    """Of the page; made from the run if not given."""


def run(arguments: list[str]) -> int:
    """Writes report.html and pictures/ into the folder."""
    words, flags = positional(arguments, ("FOLDER",), usage=_USAGE)
    asked = parse(ReportArguments, flags, program="quickstudy report", description="Draws the page of a run or a comparison.")
    say(f"Page: {report_on(words[0], title=asked.title)}")
    return 0
