"""The page that compares training runs: curves in one picture, a sentence for every agent, and the settings that differ."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from quickstudy.evaluation.numbers import duration, number
from quickstudy.evaluation.training_runs import TrainingRun, best_first, differing, load_runs, same_tasks
from quickstudy.evaluation.training_summary import OTHER_TASKS, run_notes, run_sentences, tasks_in_words
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.canvas import Picture
from quickstudy.reports.comparison_charts import MOST_RUNS, comparison_curves, run_pens
from quickstudy.reports.page_parts import document, grid, section, table, table_row, text
from quickstudy.storage.atomic import write_atomically


def write_comparison(
    folders: Sequence[str | os.PathLike], *, folder: str | os.PathLike = "runs/comparison", title: str | None = None
) -> Path:
    """Writes `comparison.html`, which compares training runs, and its charts as SVG and PNG under `pictures/`.

    Args:
      folders: of two runs or more. Runs that are under way or were interrupted are shown as such.
      folder: to write into; created if it is missing.
      title: of the page; by default the tasks of the runs.
    Returns:
      The path of the page.
    Raises:
      UsageError: fewer than two runs, more than fit into a picture, a folder without a run, or no evaluation at all.
    """
    runs = check_runs(load_runs([os.fspath(one) for one in folders]))
    groups = same_tasks(runs)
    pictures: list[Picture] = []
    body = [_opening(groups, title)]
    for place, group in enumerate(groups, start=1):
        name = "comparison" if len(groups) == 1 else f"comparison-{place}"
        measured = [run for run in group if run.seeds]
        charts = comparison_curves(measured, run_pens(group), name=name) if measured else []
        pictures += charts
        body += _parts(group, charts, heading=len(groups) > 1)
    body.append(
        section("Reproduce", f"<pre><code>{text(shlex.join(['quickstudy', 'report', *map(str, folders)]))}</code></pre>")
    )
    for picture in pictures:
        write_atomically(Path(folder) / "pictures" / f"{picture.name}.svg", picture.svg)
        write_atomically(Path(folder) / "pictures" / f"{picture.name}.png", picture.png)
    path = Path(folder) / "comparison.html"
    write_atomically(path, document(title or _title(groups), body))
    return path


def comparison_sentences(folders: Sequence[str | os.PathLike]) -> list[str]:
    """The sentences of the page: one for every agent, the best first, and what limits the comparison.

    Raises:
      UsageError: as of `write_comparison`.
    """
    groups = same_tasks(check_runs(load_runs([os.fspath(one) for one in folders])))
    if len(groups) == 1:
        return [*run_sentences(groups[0]), *run_notes(groups[0])]
    told = [OTHER_TASKS]
    for group in groups:
        told += [f"{tasks_in_words(group[0])}:", *run_sentences(group), *run_notes(group)]
    return told


def check_runs(runs: list[TrainingRun]) -> list[TrainingRun]:
    """The same runs, if they can be compared in pictures.

    Raises:
      UsageError: fewer than two, more than fit into a picture, or none with an evaluation.
    """
    if not 2 <= len(runs) <= MOST_RUNS:
        raise UsageError(f"a comparison shows 2 to {MOST_RUNS} runs; came {len(runs)}. Name fewer or more run folders.")
    if not any(run.seeds for run in runs):
        raise UsageError("none of these runs has an evaluation yet, so there is no curve to draw. Wait for the first update.")
    return runs


def _title(groups: Sequence[Sequence[TrainingRun]]) -> str:
    return "; ".join(dict.fromkeys(str(group[0].distribution["name"]) for group in groups))


def _opening(groups: Sequence[Sequence[TrainingRun]], title: str | None) -> str:
    count = sum(map(len, groups))
    kicker = f'<p class="kicker">{text(title or _title(groups))}</p><h1>Training of {count} runs</h1>'
    if len(groups) == 1:
        return f"<header>{kicker}{_told(groups[0])}</header>"
    return f'<header>{kicker}<p class="warning">{OTHER_TASKS}</p></header>'


def _told(group: Sequence[TrainingRun]) -> str:
    return "".join(f"<p>{text(sentence)}</p>" for sentence in (*run_sentences(group), *run_notes(group)))


def _parts(group: Sequence[TrainingRun], charts: Sequence[Picture], *, heading: bool) -> list[str]:
    """The part of the page on one set of tasks."""
    tasks = text(tasks_in_words(group[0]))
    ordered = best_first(group)
    shared, partial = differing(ordered)
    settings = _settings(ordered, shared) if shared else '<p class="note">All settings are the same.</p>'
    if partial:
        settings += f"<details><summary>Settings of some runs only</summary>{_settings(ordered, partial)}</details>"
    curves = (_told(group) if heading else "") + (grid(charts) if charts else "")
    return [
        section(f"Tasks: {tasks}" if heading else "Training curves", curves),
        section("Runs", _table(ordered, run_places={name: pen.place for name, pen in run_pens(group).items()})),
        section("Settings that differ", settings),
    ]


def _table(ordered: Sequence[TrainingRun], *, run_places: dict[str, int]) -> str:
    heads = (
        "run",
        "algorithm",
        "held-out return",
        "lowest seed",
        "highest seed",
        "seeds",
        "environment steps",
        "time",
        "state",
    )
    rows = []
    for run in ordered:
        known = run.seeds > 0
        values = (run.last.mean(), run.last.min(), run.last.max()) if known else ()
        cells = [
            run.algorithm,
            *([number(float(value)) for value in values] or ["–"] * 3),
            str(run.seeds) if known else "–",
            f"{run.steps[-1]:,.0f}" if known else "–",
            duration(run.seconds[-1]) if known else "–",
            "finished" if run.finished else "not finished",
        ]
        colour = f"var(--series-{run_places[run.name]})"
        swatch = f'<span class="swatch" style="border-color: {colour}; border-top-style: solid" aria-hidden="true"></span>'
        rows.append(table_row(f"{swatch}{text(run.name)}", cells))
    return table(heads, rows, label="Runs")


def _settings(ordered: Sequence[TrainingRun], values: dict[str, list[str]]) -> str:
    rows = [table_row(text(name), cells) for name, cells in values.items()]
    return table(["setting", *(run.name for run in ordered)], rows, label="Settings that differ")
