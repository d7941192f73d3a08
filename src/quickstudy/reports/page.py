"""A run, or a comparison of runs, as one HTML page: adaptation curves first, then one table.

The page needs no other file and runs no script. The same charts are also written as files next to it.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.evaluation.adaptation import adaptation_sentences, compared_ends
from quickstudy.evaluation.numbers import bounded, byte_size, ends, number
from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.evaluation.summary import THRESHOLD, headline, nonfinite_sentences, ranked, subject
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word
from quickstudy.reports import canvas, charts
from quickstudy.reports.canvas import Pen, Picture
from quickstudy.reports.page_parts import document, grid, section, text
from quickstudy.reports.seeds import seeds_sentences
from quickstudy.storage.atomic import write_atomically

_TRAINING_TASKS = "These are TRAINING TASKS, not held-out tasks: the results say nothing about new tasks."

SECTIONS = {
    "algorithm": "Algorithm",
    "distribution": "Tasks",
    "training": "Training",
    "versions": "Versions",
    "machine": "Machine",
}


def write_report(
    folder: str | os.PathLike,
    *,
    evaluations: Sequence[Evaluation],
    metrics: Sequence[Mapping[str, Any]] | None = None,
    run: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> pathlib.Path:
    """Writes `report.html`, and its charts as SVG and PNG under `pictures/`.

    Args:
      folder: to write into; created if it is missing.
      evaluations: at least one. The table shows the one on `test`, or the first; the other splits have a chart each.
      metrics: lines of the run's metrics file, for the training curve.
      run: the run's record (`run.json`), for the configuration and the command.
      title: of the page; by default the names of the algorithm and the tasks.
    Returns:
      The path of the page.
    Raises:
      UsageError: no evaluation.
    """
    if not evaluations:
        raise UsageError("a report needs at least one evaluation, but got none. Run `quickstudy evaluate` first.")
    folder = pathlib.Path(folder)
    main = next((one for one in evaluations if one.split == "test"), evaluations[0])
    names = {name: result.trained for one in (main, *evaluations) for name, result in one.results.items()}
    controls = {name: result.control.agent for one in evaluations for name, result in one.results.items() if result.control}
    pens = canvas.pens(list(names.items()), controls=controls)
    adaptation = charts.adaptation_curves(main, pens)
    splits = _split_pictures(evaluations, pens) if len(evaluations) > 1 else []
    training = charts.training_curve(metrics, main, pens) if metrics else None
    body = [
        _opening(main, run, title),
        section("Adaptation", grid(adaptation)),
        section("Results", _table(main, pens)),
        section("All splits", grid(splits)) if splits else "",
        section("Training", grid([training])) if training else "",
        section("Configuration", _configuration(run)) if run else "",
        section("Reproduce", _reproduce(evaluations, run)),
    ]
    for picture in (*adaptation, *splits, *([training] if training else [])):
        write_atomically(folder / "pictures" / f"{picture.name}.svg", picture.svg)
        write_atomically(folder / "pictures" / f"{picture.name}.png", picture.png)
    page = document(title or _name(main, run), body)
    path = folder / "report.html"
    write_atomically(path, page)
    return path


def _split_pictures(evaluations: Sequence[Evaluation], pens: Mapping[str, Pen]) -> list[Picture]:
    """One dot plot for each split, all on the same axis."""
    values = [x for one in evaluations for e in charts.split_estimates(one).values() for x in (e.low, e.high)]
    known = [x for x in values if x is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    normalised = all(r.normalised_score is not None for one in evaluations for r in one.results.values())
    if normalised:
        # A split with a small distance from floor to ceiling has wide intervals, which would compress the other charts.
        low, high = max(min(low, 0.0), -0.5), min(max(high, 1.0), 1.5)
    margin = 0.04 * (high - low or 1.0)
    found: dict[str, Picture] = {}
    for one in sorted(evaluations, key=lambda one: 2 * (one.split == "train") + (one.split != "test")):
        name = f"split-{file_word(one.split)}"
        name = name if name not in found else f"{name}-{len(found)}"
        found[name] = charts.split_scores(one, pens, (low - margin, high + margin), name=name)
    return list(found.values())


def _opening(main: Evaluation, run: Mapping[str, Any] | None, title: str | None) -> str:
    warning = "" if main.held_out else f'<p class="warning">{_TRAINING_TASKS}</p>'
    seeds = seeds_sentences({name: result.seeds for name, result in main.results.items() if result.trained})
    first, *more = [*adaptation_sentences(main, subject(main)), headline(main)]
    scores = [main.no_score] if main.no_score else []
    sentences = [first, *more, *scores, *seeds, *nonfinite_sentences(main)]
    spec, config = main.spec, ", ".join(f"{name} {value}" for name, value in main.distribution["config"].items())
    episodes = f"{spec['episodes']} episode{'s' if spec['episodes'] > 1 else ''} of {spec['horizon']} step"
    facts = [
        ("Tasks", f"{main.tasks:,}, split “{main.split}” ({main.label})"),
        ("Distribution", f"{main.distribution['name']}{f' ({config})' if config else ''}"),
        ("Lifetime", f"{episodes}{'s' if spec['horizon'] > 1 else ''}"),
        ("Task list", main.task_hash[:12]),
    ]
    items = "".join(f"<li>{name} <b>{text(value)}</b></li>" for name, value in facts)
    return (
        f'<header>{warning}<p class="kicker">{text(title or _name(main, run))}</p>'
        f"<h1>{text(sentences[0])}</h1>"
        + "".join(f"<p>{text(sentence)}</p>" for sentence in sentences[1:])
        + f'<ul class="facts">{items}</ul></header>'
    )


def _name(main: Evaluation, run: Mapping[str, Any] | None) -> str:
    tasks = str(main.distribution["name"])
    algorithm = _table_of(run, "algorithm").get("name")
    return f"{algorithm} on {tasks}" if algorithm else tasks


def _table_of(run: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """A part of a run's record, which anybody may have written; empty where it is no table."""
    part = (run or {}).get(key)
    return part if isinstance(part, Mapping) else {}


def _table(main: Evaluation, pens: Mapping[str, Pen]) -> str:
    columns = [
        "agent", "lifetime return", "gain", "interquartile mean", "normalised score", "regret", f"minus {main.reference}",
        f"P(better than {main.reference})", f"steps to {100 * float(THRESHOLD):.0f} %", "memory", "µs per decision",
    ]  # fmt: skip
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    rows = [_row(main, name, result, pens[name]) for name, result in ranked(main)]
    notes = "".join(f"<dt>{text(name)}</dt><dd>{text(meaning)}</dd>" for name, meaning in main.definitions.items())
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Results on {text(main.label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">Meta-trained agents are bold. Small numbers are 95 % intervals. '
        f"▲ better than {text(main.reference)}, ▼ worse, ≈ no significant difference. Gain: from {compared_ends(main)}.</p>"
        f"<details><summary>Definitions of the measures</summary><dl>{notes}"
        "<dt>memory</dt><dd>size of the memory of one lifetime</dd><dt>µs per decision</dt>"
        f"<dd>median and 99th percentile of one decision without batching, on {text(main.machine)}</dd></dl></details>"
    )


def _row(main: Evaluation, name: str, result: Result, pen: Pen) -> str:
    seeds = f"<small>{result.seeds} seeds</small>" if result.seeds > 1 else ""
    shown = (result.lifetime_return, result.gain, result.interquartile_mean, result.normalised_score, result.regret)
    cells = [_cell(e, signed=e is result.gain) for e in shown]
    comparison = main.compare(main.reference, name) if name != main.reference else None
    if comparison is None:
        cells += ["<td>–</td>", "<td>–</td>"]
    else:
        other = comparison.reversed()
        cells.append(
            f'<td><span class="{comparison.outcome}">{number(other.difference.value, signed=True)}</span>'
            f"<small>{ends(other.difference)}</small></td>"
        )
        cells.append(_cell(other.probability_of_improvement))
    steps = result.steps_to.get(THRESHOLD)
    cells.append("<td>–</td>" if steps is None else _steps_cell(steps))
    times = result.decision_microseconds
    cells.append(f"<td>{byte_size(result.memory_bytes)}</td>")
    cells.append(f"<td>{times['median']:,.0f}<small>99 %: {times['percentile_99']:,.0f}</small></td>")
    swatch = f'<span class="swatch" style="border-color: var(--series-{pen.place})" aria-hidden="true"></span>'
    kind = ' class="trained"' if result.trained else ""
    return f'<tr{kind}><th scope="row">{swatch}{text(name)}{seeds}</th>{"".join(cells)}</tr>'


def _cell(estimate: Estimate | None, *, signed: bool = False) -> str:
    if estimate is None:
        return "<td>–</td>"
    return f"<td>{bounded(estimate, signed=signed).split(' [')[0]}<small>{ends(estimate)}</small></td>"


def _steps_cell(estimate: Estimate) -> str:
    value, low, high = ("never" if x is None else f"{x:.0f}" for x in (estimate.value, estimate.low, estimate.high))
    interval = "" if low == high == value else f"<small>[{low}, {high}]</small>"
    return f"<td>{value}{interval}</td>"


def _configuration(run: Mapping[str, Any]) -> str:
    parts = []
    for key, heading in SECTIONS.items():
        rows = "".join(
            f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in _flat(_table_of(run, key))
        )
        if rows:
            parts.append(f'<figure><h3>{heading}</h3><table class="plain"><tbody>{rows}</tbody></table></figure>')
    return f'<div class="pictures">{"".join(parts)}</div>'


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted names; a bare value keeps the name that it came with."""
    if not isinstance(value, Mapping):
        return [(prefix or "value", value)]
    # A run stores `name` and `config` side by side; the settings need no prefix.
    names = {name: prefix if name == "config" else f"{prefix}.{name}" if prefix else str(name) for name in value}
    return [row for name, inner in value.items() for row in _flat(inner, names[name])]


def _reproduce(evaluations: Sequence[Evaluation], run: Mapping[str, Any] | None) -> str:
    commands = [command for command in [(run or {}).get("command"), *(one.command for one in evaluations)] if command]
    shown = "\n".join(dict.fromkeys(" ".join(map(str, c)) if isinstance(c, list | tuple) else str(c) for c in commands))
    rows = "".join(
        f'<tr><th scope="row">{text(one.split)}</th>'
        f"<td>{text(one.label)}; {one.tasks:,} tasks, seed {one.seed}<br><code>{text(one.task_hash)}</code></td></tr>"
        for one in evaluations
    )
    command = f"<pre><code>{text(shown)}</code></pre>" if shown else ""
    return (
        f'{command}<table class="plain"><thead><tr><th scope="col">split</th><th scope="col">task list (SHA-256)</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )
