"""`quickstudy report FOLDER ...`: the page of one run, or the training curves of several runs on one page."""

import dataclasses

from quickstudy.cli.arguments import leading_words, parse, positional
from quickstudy.cli.console import say
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.comparison_page import comparison_sentences, write_comparison
from quickstudy.reports.run_report import first_sentences, report_on
from quickstudy.reports.wording import Wording
from quickstudy.storage.results_folder import check_results_folder

_USAGE = "quickstudy report FOLDER [MORE ...] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """How the page is headed, and where a comparison goes."""

    title: str | None = None
    """Title of the page; made from the run if not given."""
    agent_name: str = ""
    """Name of the agent on the page of one run; that of its algorithm if not given."""
    unit: str = ""
    """Unit of the rewards on the page of one run, in the plural, such as conversions."""
    step: str = ""
    """Word for a step on the page of one run, in the singular, such as visitor."""
    folder: str | None = None
    """Where the comparison of several runs goes; runs/comparison if not given. The page of one run is in its own folder."""


def run(arguments: list[str]) -> int:
    """Writes report.html into the folder of one run, or comparison.html for several; pictures/ beside it."""
    positional(arguments, ("FOLDER",), usage=_USAGE)
    words, flags = leading_words(arguments)
    program = _USAGE.partition(" [")[0]
    asked = parse(ReportArguments, flags, program=program, description="Draws the page of a run, or compares training runs.")
    wording = Wording(agent=asked.agent_name, unit=asked.unit, step=asked.step)
    if len(words) == 1:
        if asked.folder is not None:
            raise UsageError("--folder is for comparisons; the page of one run is in its own folder. Leave --folder out.")
        page = report_on(words[0], title=asked.title, wording=wording)
        for sentence in first_sentences(words[0], wording=wording):
            say(sentence)
        say(f"Page: {page}")
        return 0
    if wording != Wording():
        raise UsageError("--agent-name, --unit and --step are for the page of one run. Leave them out to compare several.")
    folder = asked.folder or "runs/comparison"
    check_results_folder(folder)
    path = write_comparison(words, folder=folder, title=asked.title)
    for sentence in comparison_sentences(words):
        say(sentence)
    say(f"Page: {path}")
    return 0
