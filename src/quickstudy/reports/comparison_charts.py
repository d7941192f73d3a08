"""The training curves of several runs in one picture: the held-out return against environment steps or against seconds."""

from collections.abc import Mapping, Sequence

import numpy as np

from quickstudy.evaluation.numbers import duration, number
from quickstudy.evaluation.training_runs import TrainingRun, best_first
from quickstudy.reports import canvas
from quickstudy.reports.canvas import LIGHT, Pen, Picture
from quickstudy.reports.charts import count_axis

MOST_RUNS = 20
"""Curves that can be told apart in one picture."""
_SOLID = 5
_DASHES = ((0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_INCHES_PER_NAME = 0.19
_MARKED_UP_TO = 25


def run_pens(runs: Sequence[TrainingRun]) -> dict[str, Pen]:
    """A pen for each run by its name: ten colours; from the sixth run on, curves have dashes too."""
    return {
        run.name: Pen(
            place=place % len(LIGHT),
            dashes="-" if place < _SOLID else _DASHES[(place // _SOLID - 1) % len(_DASHES)],
            width=2.0,
            order=4,
        )
        for place, run in enumerate(runs)
    }


def comparison_curves(runs: Sequence[TrainingRun], pens: Mapping[str, Pen], *, name: str) -> list[Picture]:
    """The held-out return against environment steps, and against seconds.

    Args:
      runs: on the same tasks, each with an evaluation.
      pens: by name of the run.
      name: of the charts' files; `-steps` and `-seconds` follow.
    """
    return [_curves(runs, pens, against=against, name=f"{name}-{against}") for against in ("steps", "seconds")]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names that fit beside a curve, all different: cut at the end, else without their common beginning, else numbered.

    Example:
      >>> short_names(["rl2-bernoulli-bandit-gru-1", "rl2-bernoulli-bandit-gru-2"])["rl2-bernoulli-bandit-gru-2"]
      '…2'
    """
    shown = [canvas.short(name) for name in names]
    if len(set(shown)) < len(names):
        # The first and the last name in the order of the alphabet share what all names share.
        first, last = min(names), max(names)
        same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
        start = 1 + max(first.rfind(mark, 0, same) for mark in "-_/")
        shown = [canvas.short(f"…{name[start:]}") for name in names]
    if len(set(shown)) < len(names):
        shown = [f"{place}. {name[:18]}" for place, name in enumerate(shown, start=1)]
    return dict(zip(names, shown, strict=True))


def _curves(runs: Sequence[TrainingRun], pens: Mapping[str, Pen], *, against: str, name: str) -> Picture:
    shown = short_names([run.name for run in runs])
    height = max(canvas.HEIGHT, 0.6 + _INCHES_PER_NAME * len(runs))
    with canvas.style_context():
        figure, axes = canvas.canvas(height=height)
        places = {run.name: run.steps if against == "steps" else run.seconds for run in runs}
        last = max(float(places[run.name][-1]) for run in runs)
        for run in runs:
            pen, at, mean = pens[run.name], places[run.name], run.returns.mean(1)
            band = axes.fill_between(at, run.returns.min(1), run.returns.max(1), color=pen.colour, alpha=0.16, linewidth=0)
            band.set_zorder(2)
            axes.plot(
                at, mean, color=pen.colour, linestyle=pen.dashes, linewidth=pen.width, zorder=pen.order,
                marker="o" if len(at) <= _MARKED_UP_TO else "", markersize=3.2,
            )  # fmt: skip
            if not run.finished:
                axes.plot(at[-1:], mean[-1:], "o", markersize=7, color=canvas.PAPER, markeredgecolor=pen.colour, zorder=6)
            if at[-1] < last:  # a run that ended earlier: a thin line leads from its last evaluation to its name
                axes.plot([at[-1], last], [mean[-1]] * 2, color=pen.colour, linestyle=":", linewidth=0.9, zorder=3)
        axes.set_xlim(left=0, right=last * 1.005)
        count_axis(axes, "environment steps per seed" if against == "steps" else "seconds, compiling included")
        axes.set_ylabel("held-out lifetime return")
        ends = [(shown[run.name], float(run.last.mean()), pens[run.name]) for run in runs]
        canvas.label_ends(axes, ends, figure_height=height)
        caption = [
            "Mean over seeds.",
            "Bands reach from the lowest seed to the highest." if any(run.seeds > 1 for run in runs) else "",
            "Dotted lines lead from the last evaluation to the name."
            if any(places[run.name][-1] < last for run in runs)
            else "",
            "An open circle marks a run that is not finished." if not all(run.finished for run in runs) else "",
        ]
        return canvas.finish(
            figure,
            name=name,
            title=f"Held-out return against {'environment steps' if against == 'steps' else 'seconds'}",
            caption=" ".join(filter(None, caption)),
            alternative=f"Held-out return during training against {against}, best first: {_in_words(runs, against)}.",
        )


def _in_words(runs: Sequence[TrainingRun], against: str) -> str:
    """The ends of the curves."""
    found = []
    for run in best_first(runs):
        at = f"{run.steps[-1]:,.0f} steps" if against == "steps" else duration(run.seconds[-1])
        found.append(f"{run.name} {number(float(np.mean(run.last)))} after {at}")
    return "; ".join(found)
