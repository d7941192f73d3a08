"""Learning curves of several runs in one file: a picture, or the raw numbers as CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from quickstudy.evaluation.training_runs import TrainingRun, load_runs, same_tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.comparison_charts import MOST_RUNS, comparison_curves, run_pens
from quickstudy.storage.atomic import write_atomically

HEADS = ("run", "seed", "steps", "seconds", "held_out_return")


def write_curves(folders: Sequence[str | Path], *, to: str | Path, against: Literal["steps", "seconds"] = "steps") -> Path:
    """Writes the held-out return during training of several runs, and returns the path of the file.

    Args:
      folders: of the runs.
      to: a file that ends in `.png` or `.svg` for a picture, or in `.csv` for one line for each seed of each evaluation.
      against: the horizontal axis of a picture: environment steps of each seed, or seconds.
    Raises:
      UsageError: another ending, a folder without a run, no evaluation yet, or a picture of too many runs or of other tasks.
    """
    path = Path(to)
    ending = path.suffix.lower()
    if ending not in (".png", ".svg", ".csv"):
        raise UsageError(f"the file must end in .png, .svg or .csv; came {str(to)!r:.200}. Name another with --out.")
    runs = load_runs(folders)
    measured = [run for run in runs if run.seeds]
    if not measured:
        raise UsageError("none of these runs has an evaluation yet, so there is no curve. Wait for the first update.")
    if ending == ".csv":
        write_atomically(path, _rows(measured))
        return path
    if len(measured) > MOST_RUNS:
        raise UsageError(f"a picture shows at most {MOST_RUNS} runs; came {len(measured)}. Name fewer, or write .csv.")
    if len(same_tasks(measured)) > 1:
        raise UsageError("these runs have different tasks, so one picture cannot compare them. Name runs on the same tasks.")
    steps, seconds = comparison_curves(measured, run_pens(measured), name=path.stem)
    picture = steps if against == "steps" else seconds
    write_atomically(path, picture.svg if ending == ".svg" else picture.png)
    return path


def _rows(runs: Sequence[TrainingRun]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADS)
    for run in runs:
        for steps, seconds, returns in zip(run.steps, run.seconds, run.returns, strict=True):
            rows.writerows([run.name, seed, f"{steps:.0f}", float(seconds), float(one)] for seed, one in enumerate(returns))
    return text.getvalue()
