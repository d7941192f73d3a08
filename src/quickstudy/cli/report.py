"""`quickstudy report FOLDER`: draws the page of a run or a comparison from what was measured."""

import dataclasses
import json
from pathlib import Path

from quickstudy.cli.arguments import parse, positional
from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.page import write_report
from quickstudy.storage.run_folder import read_metrics

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
    print(f"Page: {report_on(words[0], title=asked.title)}")
    return 0


def report_on(folder: str | Path, *, title: str | None = None) -> Path:
    """The page of everything that a folder holds.

    Raises:
      UsageError: nothing was measured there yet.
    """
    folder = Path(folder)
    stored = sorted(folder.glob("evaluation-*.json"), key=lambda path: (path.name != "evaluation-test.json", path.name))
    if not stored:
        raise UsageError(f"{folder} holds no evaluation yet. Measure first: quickstudy evaluate {folder}")
    run = json.loads((folder / "run.json").read_text()) if (folder / "run.json").is_file() else None
    evaluations = [Evaluation.load(path) for path in stored]
    return write_report(folder, evaluations=evaluations, metrics=read_metrics(folder) or None, run=run, title=title)
