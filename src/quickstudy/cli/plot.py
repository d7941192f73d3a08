"""`quickstudy plot RUN ...`: learning curves of several runs in one picture, or their numbers as CSV."""

import dataclasses
from pathlib import Path
from typing import Literal

from quickstudy.cli.arguments import leading_words, parse, positional
from quickstudy.cli.console import say
from quickstudy.reports.curve_files import write_curves
from quickstudy.storage.results_folder import check_results_folder

_USAGE = "quickstudy plot RUN [MORE ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlotArguments:
    """The file, and what the curves are drawn against."""

    out: str = "curves.png"
    """File to write: .png or .svg for a picture, .csv for the numbers of every seed."""
    against: Literal["steps", "seconds"] = "steps"
    """Horizontal axis of a picture: environment steps of each seed, or seconds."""


def run(arguments: list[str]) -> int:
    """Writes one file with the held-out return of all runs during training."""
    positional(arguments, ("RUN",), usage=_USAGE)
    words, flags = leading_words(arguments)
    program = _USAGE.partition(" [")[0]
    asked = parse(PlotArguments, flags, program=program, description="Draws learning curves of several runs in one picture.")
    check_results_folder(Path(asked.out).parent, flag="--out")
    say(f"Curves: {write_curves(words, to=asked.out, against=asked.against)}")
    return 0
