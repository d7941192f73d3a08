"""The page of a folder: its evaluations, and the run that they belong to."""

from pathlib import Path

from quickstudy.evaluation.example_lifetime import FILE, ExampleLifetime
from quickstudy.evaluation.new_visitors import FOLDER as VISITORS
from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.reports.page import opening_sentences, write_report
from quickstudy.reports.wording import Wording
from quickstudy.storage.reading import is_file
from quickstudy.storage.run_description import read_description
from quickstudy.storage.run_folder import read_metrics


def report_on(folder: str | Path, *, title: str | None = None, wording: Wording = Wording()) -> Path:
    """Draws the page of everything that a folder holds.

    Args:
      folder: of a run, or of a comparison of runs.
      title: of the page; made from the run if None.
      wording: other words for the agent, the reward and a step.
    Returns:
      The path of the page.
    Raises:
      UsageError: there is no such folder, or it holds no evaluation yet, one that cannot be read, or a damaged `run.json`.
    """
    folder = Path(folder)
    evaluations = [Evaluation.load(path) for path in _stored(folder)]
    run = read_description(folder) if (folder / "run.json").exists() else None
    metrics = read_metrics(folder) or None
    lifetime = ExampleLifetime.load(folder / FILE) if is_file(folder / FILE) else None
    visitors = [Evaluation.load(path) for path in _stored(folder / VISITORS)] if (folder / VISITORS).is_dir() else []
    return write_report(
        folder, evaluations=evaluations, metrics=metrics, run=run, title=title, wording=wording, lifetime=lifetime,
        visitors=visitors,
    )  # fmt: skip


def first_sentences(folder: str | Path, *, wording: Wording = Wording()) -> list[str]:
    """What the page of a folder says first, for a terminal.

    Args:
      folder: as of `report_on`.
      wording: other words for the agent, the reward and a step.
    Raises:
      UsageError: as of `report_on`.
    """
    return opening_sentences(*wording.of(Evaluation.load(_stored(Path(folder))[0])))


def _stored(folder: Path) -> list[Path]:
    """The evaluations in a folder, that on `test` first."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}. Name the folder of a run or of a comparison.")
    stored = sorted(folder.glob("evaluation-*.json"), key=lambda path: (path.name != "evaluation-test.json", path.name))
    if not stored:
        raise UsageError(f"{folder} holds no evaluation yet. Measure first: quickstudy evaluate {shell_word(folder)}")
    return stored
