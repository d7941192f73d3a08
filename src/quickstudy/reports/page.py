"""A run, or a comparison of runs, as one HTML page: adaptation curves first, then one table.

The page needs no other file and runs no script. The same charts are also written as files next to it.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.evaluation.adaptation import adaptation_sentences
from quickstudy.evaluation.example_lifetime import ExampleLifetime
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.summary import headline, nonfinite_sentences, subject
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word
from quickstudy.reports import canvas, charts
from quickstudy.reports.canvas import Pen, Picture
from quickstudy.reports.contender_tables import contender_tables
from quickstudy.reports.difference_chart import differences
from quickstudy.reports.lifetime_chart import lifetime_picture
from quickstudy.reports.page_parts import document, grid, section, text
from quickstudy.reports.run_parts import configuration, reproduce, table_of
from quickstudy.reports.said_once import said_once
from quickstudy.reports.seeds import seeds_sentences
from quickstudy.reports.visitors_section import visitors_section
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
    visitors: Sequence[Evaluation] = (),
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
      visitors: evaluations of a shipped agent on new visitors, for a part of its own below the results.
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
    beside = visitors_section(visitors)
    body = [
        _opening(main, run, title, say),
        section("Adaptation", grid(adaptation)),
        section("One lifetime", grid(example)) if example else "",
        section("Results", (grid(compared) if compared else "") + contender_tables(main, pens, say)),
        beside.markup,
        section("All splits", grid(splits)) if splits else "",
        section("Training", grid(training)) if training else "",
        section("Configuration", configuration(run)) if run else "",
        section("Reproduce", reproduce(evaluations, run)),
    ]
    for picture in (picture for part in [*drawn, beside.pictures] for picture in part):
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
    """One dot plot for each split. Splits with a score share one axis, and those without a score another."""
    scored = [one for one in evaluations if charts.has_scores(one)]
    returns = [one for one in evaluations if not charts.has_scores(one)]
    low, high = _limits(scored)
    # A split with a small distance from floor to ceiling has wide intervals, which would compress the other charts.
    of_scores, of_returns = (max(min(low, 0.0), -0.5), min(max(high, 1.0), 1.5)), _limits(returns)
    found: dict[str, Picture] = {}
    for one in sorted(evaluations, key=lambda one: 2 * (one.split == "train") + (one.split != "test")):
        name = f"split-{file_word(one.split)}"
        name = name if name not in found else f"{name}-{len(found)}"
        low, high = of_scores if charts.has_scores(one) else of_returns
        margin = 0.04 * (high - low or 1.0)
        found[name] = charts.split_scores(one, pens, (low - margin, high + margin), name=name)
    return list(found.values())


def _limits(evaluations: Sequence[Evaluation]) -> tuple[float, float]:
    """The lowest and the highest end of the intervals that charts of these splits show."""
    values = [x for one in evaluations for e in charts.split_estimates(one).values() for x in (e.low, e.high)]
    known = [x for x in values if x is not None]
    return min(known, default=0.0), max(known, default=1.0)


def opening_sentences(main: Evaluation, say: Say) -> list[str]:
    """What a page says first: whether the agent adapts, how it compares with the others, and what its intervals cover.

    Args:
      main: the evaluation that the page is about.
      say: the words of the page's readers for the usual ones.
    """
    seeds = seeds_sentences({name: result.seeds for name, result in main.results.items() if result.trained})
    first, *more = [*adaptation_sentences(main, subject(main)), headline(main)]
    scores = [main.no_score] if main.no_score else []
    return list(map(say, dict.fromkeys([first, *more, *scores, *seeds, *nonfinite_sentences(main)])))


def _opening(main: Evaluation, run: Mapping[str, Any] | None, title: str | None, say: Say) -> str:
    warning = "" if main.held_out else f'<p class="warning">{_TRAINING_TASKS}</p>'
    sentences = opening_sentences(main, say)
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
