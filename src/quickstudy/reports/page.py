"""A run, or a comparison of runs, as one HTML page: adaptation curves first, then one table.

The page needs no other file and runs no script. The same charts are also written as files next to it.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.evaluation.adaptation import adaptation_sentences, compared_ends
from quickstudy.evaluation.example_lifetime import ExampleLifetime
from quickstudy.evaluation.numbers import bounded, byte_size, ends, number, percent
from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.evaluation.summary import THRESHOLD, headline, nonfinite_sentences, ranked, subject
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word
from quickstudy.reports import canvas, charts
from quickstudy.reports.canvas import Pen, Picture
from quickstudy.reports.difference_chart import differences
from quickstudy.reports.lifetime_chart import lifetime_picture
from quickstudy.reports.page_parts import document, grid, section, text
from quickstudy.reports.run_parts import configuration, reproduce, table_of
from quickstudy.reports.said_once import said_once
from quickstudy.reports.seeds import seeds_sentences
from quickstudy.reports.wording import Say, Wording
from quickstudy.storage.atomic import write_atomically

_TRAINING_TASKS = "These are TRAINING TASKS, not held-out tasks: the results say nothing about new tasks."


def write_report(
    folder: str | os.PathLike,
    *,
    evaluations: Sequence[Evaluation],
    metrics: Sequence[Mapping[str, Any]] | None = None,
    run: Mapping[str, Any] | None = None,
    title: str | None = None,
    wording: Wording = Wording(),
    lifetime: ExampleLifetime | None = None,
) -> pathlib.Path:
    """Writes `report.html`, and its charts as SVG and PNG under `pictures/`.

    Args:
      folder: to write into; created if it is missing.
      evaluations: at least one. The table shows the one on `test`, or the first; the other splits have a chart each.
      metrics: lines of the run's metrics file, for the training curve.
      run: the run's record (`run.json`), for the configuration and the command.
      title: of the page; by default the names of the algorithm and the tasks.
      wording: other words for the agent, the reward and a step.
      lifetime: an example to show, of any contender.
    Returns:
      The path of the page.
    Raises:
      UsageError: no evaluation, or a name for the agent that another contender has.
    """
    if not evaluations:
        raise UsageError("a report needs at least one evaluation, but got none. Run `quickstudy evaluate` first.")
    folder = pathlib.Path(folder)
    main = next((one for one in evaluations if one.split == "test"), evaluations[0])
    of_example = "" if lifetime is None else wording.name_of(lifetime.agent, main=main)
    place, evaluations = evaluations.index(main), wording.renamed(evaluations, main=main)
    main = evaluations[place]
    names = {name: result.trained for one in (main, *evaluations) for name, result in one.results.items()}
    controls = {name: result.control.agent for one in evaluations for name, result in one.results.items() if result.control}
    pens = canvas.pens(list(names.items()), controls=controls)
    say = wording.sayer([*names, of_example, str(main.distribution["name"]), main.label])
    with canvas.words_of(say):
        example = [] if lifetime is None else [lifetime_picture(lifetime, agent=of_example)]
        drawn = _pictures(main, evaluations, metrics, pens, example)
    adaptation, example, compared, splits, training = drawn
    body = [
        _opening(main, run, title, say),
        section("Adaptation", grid(adaptation)),
        section("One lifetime", grid(example)) if example else "",
        section("Results", (grid(compared) if compared else "") + _table(main, pens, say)),
        section("All splits", grid(splits)) if splits else "",
        section("Training", grid(training)) if training else "",
        section("Configuration", configuration(run)) if run else "",
        section("Reproduce", reproduce(evaluations, run)),
    ]
    for picture in (picture for part in drawn for picture in part):
        write_atomically(folder / "pictures" / f"{picture.name}.svg", picture.svg)
        write_atomically(folder / "pictures" / f"{picture.name}.png", picture.png)
    page = document(title or _name(main, run), body)
    path = folder / "report.html"
    write_atomically(path, page)
    return path


def _pictures(
    main: Evaluation,
    evaluations: Sequence[Evaluation],
    metrics: Sequence[Mapping[str, Any]] | None,
    pens: Mapping[str, Pen],
    example: list[Picture],
) -> list[list[Picture]]:
    """The charts of adaptation, an example, and those of differences, splits and training, in the order of the page."""
    compared = differences(main, pens)
    training = charts.training_curve(metrics, main, pens) if metrics else None
    parts = [
        charts.adaptation_curves(main, pens),
        example,
        [compared] if compared else [],
        _split_pictures(evaluations, pens) if len(evaluations) > 1 else [],
        [training] if training else [],
    ]
    once = iter(said_once(picture for part in parts for picture in part))
    return [[next(once) for _ in part] for part in parts]


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


def _opening(main: Evaluation, run: Mapping[str, Any] | None, title: str | None, say: Say) -> str:
    warning = "" if main.held_out else f'<p class="warning">{_TRAINING_TASKS}</p>'
    seeds = seeds_sentences({name: result.seeds for name, result in main.results.items() if result.trained})
    first, *more = [*adaptation_sentences(main, subject(main)), headline(main)]
    scores = [main.no_score] if main.no_score else []
    sentences = list(map(say, dict.fromkeys([first, *more, *scores, *seeds, *nonfinite_sentences(main)])))
    spec, config = main.spec, ", ".join(f"{name} {value}" for name, value in main.distribution["config"].items())
    episodes = f"{spec['episodes']} episode{'s' if spec['episodes'] > 1 else ''} of {spec['horizon']} step"
    facts = [
        ("Tasks", f"{main.tasks:,}, split “{main.split}” ({main.label})"),
        ("Distribution", f"{main.distribution['name']}{f' ({config})' if config else ''}"),
        ("Lifetime", say(f"{episodes}{'s' if spec['horizon'] > 1 else ''}")),
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
    algorithm = table_of(run, "algorithm").get("name")
    return f"{algorithm} on {tasks}" if algorithm else tasks


def _table(main: Evaluation, pens: Mapping[str, Pen], say: Say) -> str:
    columns = [
        "agent", "lifetime return", "gain", "interquartile mean", "normalised score", "regret", f"minus {main.reference}",
        *([f"lift of {main.reference}", "P(best)"] if _is_bandit(main) else []),
        f"P(better than {main.reference})", f"steps to {100 * float(THRESHOLD):.0f} %", "memory", "µs per decision",
    ]  # fmt: skip
    head = "".join(f'<th scope="col">{text(say(column))}</th>' for column in columns)
    rows = [_row(main, name, result, pens[name]) for name, result in ranked(main)]
    notes = "".join(f"<dt>{text(say(name))}</dt><dd>{text(say(meaning))}</dd>" for name, meaning in main.definitions.items())
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Results on {text(main.label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">Meta-trained agents are bold. Small numbers are 95 % intervals. '
        f"▲ better than {text(main.reference)}, ▼ worse, ≈ no significant difference. "
        f"Gain: from {text(say(compared_ends(main)))}.</p>"
        f"<details><summary>Definitions of the measures</summary><dl>{notes}"
        "<dt>memory</dt><dd>size of the memory of one lifetime</dd><dt>µs per decision</dt>"
        f"<dd>median and 99th percentile of one decision without batching, on {text(main.machine)}</dd></dl></details>"
    )


def _row(main: Evaluation, name: str, result: Result, pen: Pen) -> str:
    seeds = f"<small>{result.seeds} seeds</small>" if result.seeds > 1 else ""
    shown = (result.lifetime_return, result.gain, result.interquartile_mean, result.normalised_score, result.regret)
    cells = [_cell(e, signed=e is result.gain) for e in shown]
    comparison = main.compare(main.reference, name) if name != main.reference else None
    other = None if comparison is None else comparison.reversed()
    if comparison is None or other is None:
        cells.append("<td>–</td>")
    else:
        cells.append(
            f'<td><span class="{comparison.outcome}">{number(other.difference.value, signed=True)}</span>'
            f"<small>{ends(other.difference)}</small></td>"
        )
    if _is_bandit(main):
        cells.append(_percent_cell(None if comparison is None else comparison.lift))
        best = result.probability_of_being_best
        cells.append("<td>–</td>" if best is None else f"<td>{percent(best, 1)}</td>")
    cells.append(_cell(None if other is None else other.probability_of_improvement))
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


def _is_bandit(main: Evaluation) -> bool:
    """Whether the table has the measures of experiments with variants: episodes are one step, and the measures are known."""
    lifts = (one.lift for one in main.comparisons if main.reference in (one.first, one.second))
    best = (result.probability_of_being_best for result in main.results.values())
    return main.spec["horizon"] == 1 and any(measure is not None for measure in (*lifts, *best))


def _percent_cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "<td>–</td>"
    value, low, high = (None if x is None else 100 * x for x in (estimate.value, estimate.low, estimate.high))
    return _cell(Estimate(value=value, low=low, high=high), signed=True).replace("<small>", " %<small>", 1)


def _steps_cell(estimate: Estimate) -> str:
    value, low, high = ("never" if x is None else f"{x:.0f}" for x in (estimate.value, estimate.low, estimate.high))
    interval = "" if low == high == value else f"<small>[{low}, {high}]</small>"
    return f"<td>{value}{interval}</td>"
