"""The page of a sweep: the best settings, which settings matter, a chart for each of them, and the table of trials."""

from pathlib import Path

from quickstudy.evaluation.numbers import bounded, counted, duration, percent
from quickstudy.evaluation.sweep.effects import Effects, effects_of
from quickstudy.evaluation.sweep.records import Sweep, best_first, same_tasks
from quickstudy.evaluation.sweep.summary import (
    difference_from_best,
    p_value,
    setting_value,
    settings_in_words,
    sweep_sentences,
    trial_return,
)
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.page_parts import document, grid, section, table, table_row, text
from quickstudy.reports.sweep_charts import setting_pictures
from quickstudy.storage.atomic import write_atomically

_MOST_SHOWN = 200
"""Trials of the table; the rest are in `trials.csv`."""


def write_sweep(sweep: Sweep, *, folder: str | Path) -> Path:
    """Writes `sweep.html`, and its charts as SVG and PNG under `pictures/`.

    Args:
      sweep: with a measured trial or more.
      folder: of the sweep.
    Returns:
      The path of the page.
    Raises:
      UsageError: no trial was measured.
    """
    if not sweep.measured:
        raise UsageError("no trial of this sweep was measured yet, so there is nothing to draw. Go on with --resume.")
    effects = effects_of(sweep)
    pictures = setting_pictures(sweep, effects)
    first, *more = sweep_sentences(sweep, effects)
    name = f"Sweep of {sweep.algorithm} on {sweep.distribution}"
    facts = [
        ("Trials", f"{len(sweep.measured)} measured of {sweep.trials}"),
        ("Seeds of each", str(sweep.settings["training"]["seeds"])),
        ("Budget of each", str(sweep.settings["training"]["budget"])),
        ("Choice of trials", sweep.sampler),
        ("Validation tasks", f"{sweep.validation_tasks:,} of the train split, drawn apart from training"),
    ]
    opening = (
        f'<header><p class="kicker">{text(name)}</p><h1>{text(first)}</h1>'
        + "".join(f"<p>{text(sentence)}</p>" for sentence in more)
        + f'<ul class="facts">{"".join(f"<li>{head} <b>{text(value)}</b></li>" for head, value in facts)}</ul></header>'
    )
    body = [
        opening,
        section("Best settings", _winners(sweep)) if sweep.winners else "",
        section("Effects of the settings", _effects(effects)) if effects.settings else "",
        section("Return against each setting", grid(pictures)),
        section("Trials", _trials(sweep)),
        section("Reproduce", f"<pre><code>{text(sweep.command)}</code></pre>") if sweep.command else "",
    ]
    for picture in pictures:
        write_atomically(Path(folder) / "pictures" / f"{picture.name}.svg", picture.svg)
        write_atomically(Path(folder) / "pictures" / f"{picture.name}.png", picture.png)
    path = Path(folder) / "sweep.html"
    write_atomically(path, document(name, body))
    return path


def _winners(sweep: Sweep) -> str:
    parts = []
    for winner in sweep.winners:
        where = f"<h3>{text(settings_in_words(winner.tasks))}</h3>" if winner.tasks else ""
        parts.append(f"{where}<pre><code>{text(winner.command)}</code></pre>")
    return "".join(parts) + (
        '<p class="note">The command trains the best settings with other seeds. `quickstudy evaluate` then measures the agent '
        "on the test split.</p>"
    )


def _effects(effects: Effects) -> str:
    heads = ("setting", "best", "worst", "difference in return", "p", "share of variance")
    rows = [
        table_row(
            text(name),
            (
                setting_value(one.best),
                setting_value(one.worst),
                bounded(one.difference),
                p_value(one.p_value),
                percent(one.share),
            ),
        )
        for name, one in effects.settings.items()
    ]
    note = (
        "An additive model of all settings, fitted to the mean return of each trial. Differences are best minus worst, with "
        "95 % intervals that hold for every pair of values (Scheffé). p values are of F tests, adjusted for the number of "
        "settings (Holm). Interactions of settings are not in the model."
    )
    return f'{table(heads, rows, label="Effects of the settings")}<p class="note">{note}</p>'


def _trials(sweep: Sweep) -> str:
    best_of = {trial.number: group[0] for group in same_tasks(sweep) for trial in group}
    heads = ("trial", *sweep.over, "return", "difference from the best", "environment steps", "time", "state")
    rows = []
    for trial in best_first(sweep.results)[:_MOST_SHOWN]:
        best = best_of.get(trial.number)
        cells = [
            *(setting_value(trial.settings[name]) for name in sweep.over),
            trial_return(trial),
            "–" if best is None else difference_from_best(trial, best),
            "–" if trial.steps is None else f"{trial.steps:,}",
            "–" if trial.seconds is None else duration(trial.seconds),
            trial.state if trial.fault is None else f"{trial.state}: {trial.fault}",
        ]
        rows.append(table_row(str(trial.number), cells))
    left = len(sweep.results) - _MOST_SHOWN
    more = f'<p class="note">{counted(left, "more trial")} in trials.csv.</p>' if left > 0 else ""
    return table(heads, rows, label="Trials") + more
