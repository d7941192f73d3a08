"""The chart of a measurement of adaptation speed: both curves against environment steps, and their crossings of each level."""

import math
import os
import pathlib

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Side, Threshold
from quickstudy.evaluation.numbers import censored_bounded, censored_number, number, percent, tick
from quickstudy.numerics.statistics import Estimate
from quickstudy.reports import canvas
from quickstudy.reports.adaptation_speed_table import sentences
from quickstudy.reports.canvas import INK, MUTED, Pen, Picture
from quickstudy.reports.charts import RANDOM_ACTIONS, TASK_KNOWN
from quickstudy.storage.atomic import write_atomically

_LOGARITHMIC_FROM = 4.0


def speed_picture(found: AdaptationSpeed) -> Picture:
    """Mean return of an episode against environment steps, with a bar on each threshold between the crossings of both curves.

    An arrow in place of a dot means that the curve does not reach the threshold. Labels show the median speed-up.
    """
    sides = [side for side in (found.agent, found.baseline, found.shuffled) if side is not None]
    pens = _pens(sides)
    with canvas.style_context():
        figure, axes = canvas.canvas()
        longest = max(side.steps for side in sides)
        logarithmic = longest > _LOGARITHMIC_FROM * min(side.steps for side in sides)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(side.curve.at[0] for side in sides) * (0.9 if logarithmic else 1) - (not logarithmic), longest * 1.02)
        axes.xaxis.set_major_formatter(lambda value, _: tick(value))
        ends: list[tuple[str, float, Pen | None]] = []
        for side in sides:
            _draw(axes, side, pens[side.name], until=longest)
            ends.append((side.name, _drawable(side.asymptote), pens[side.name]))
        for threshold in found.thresholds:
            ends.append((_named(threshold), _drawable(threshold.level), None))
            _mark(axes, threshold, found, pens)
        for name, anchor in ((TASK_KNOWN, found.ceiling), (RANDOM_ACTIONS, found.floor)):
            if anchor is not None:
                axes.axhline(_drawable(anchor), color=MUTED, linestyle=":", linewidth=1.0)
                ends.append((name, _drawable(anchor), None))
        # A break-even step without an upper bound is not significant, so it is not drawn.
        if found.break_even.value is not None and found.break_even.high is not None:
            axes.axvline(found.break_even.value, color=MUTED, linewidth=1.0)
            axes.text(
                found.break_even.value, 0.02, "break-even ", transform=axes.get_xaxis_transform(), rotation=90,
                horizontalalignment="right", verticalalignment="bottom", color=INK, fontsize=8.5,
            )  # fmt: skip
        axes.set_xlabel("steps on the new task" + (" (log scale)" if logarithmic else ""))
        axes.set_ylabel("return of an episode" + (f", mean over {found.window}" if found.window > 1 else ""))
        canvas.label_ends(axes, ends)
        return canvas.finish(
            figure,
            name=found.file_name,
            title="Adaptation speed",
            caption=f"Mean over {found.tasks:,} tasks ({found.label}) with pointwise 95 % intervals. Each bar joins the steps "
            "at which the two curves reach the same fraction of the baseline's way from random actions to its final return.",
            alternative=" ".join([_in_words(found), *sentences(found)]),
        )


def write_speed_picture(found: AdaptationSpeed, folder: str | os.PathLike) -> pathlib.Path:
    """Writes the chart as `.svg` and `.png` into a folder, named like the measurement, and returns the path of the SVG."""
    picture = speed_picture(found)
    path = pathlib.Path(folder) / f"{picture.name}.svg"
    write_atomically(path, picture.svg)
    write_atomically(path.with_suffix(".png"), picture.png)
    return path


def _pens(sides: list[Side]) -> dict[str, Pen]:
    """The agent thick and solid; the baseline and the ablation thin and dashed, also if they were trained."""
    return canvas.pens([(side.name, place == 0) for place, side in enumerate(sides)])


def _draw(axes: Axes, side: Side, pen: Pen, *, until: float) -> None:
    curve = side.curve
    value, low, high = (np.asarray(column, float) for column in (curve.value, curve.low, curve.high))
    axes.fill_between(curve.at, low, high, color=pen.colour, alpha=0.15, linewidth=0, zorder=pen.order - 1)
    axes.plot(
        curve.at, value, color=pen.colour, linestyle=pen.dashes, linewidth=pen.width, zorder=pen.order,
        marker="o" if len(value) <= 12 else "", markersize=2 + pen.width,
    )  # fmt: skip
    if curve.at[-1] < until:
        axes.plot([curve.at[-1], until], [_drawable(side.asymptote)] * 2, color=pen.colour, linewidth=0.7, alpha=0.6)


def _mark(axes: Axes, threshold: Threshold, found: AdaptationSpeed, pens: dict[str, Pen]) -> None:
    level, places = _drawable(threshold.level), []
    axes.axhline(level, color=MUTED, linestyle=(0, (1, 3)), linewidth=0.7)
    for side, steps in ((found.agent, threshold.on_mean_curve.agent), (found.baseline, threshold.on_mean_curve.baseline)):
        if not steps.at_least:
            return  # the baseline learned nothing, so there is no threshold
        marker = "o" if steps.value is not None else ">"
        axes.plot([steps.at_least], [level], marker, color=pens[side.name].colour, markersize=6, zorder=7, clip_on=False)
        places.append(steps.at_least)
    axes.plot(places, [level, level], color=INK, linewidth=1.4, zorder=6)


def _drawable(estimate: Estimate) -> float:
    return math.nan if estimate.value is None else estimate.value


def _named(threshold: Threshold) -> str:
    speed_up = censored_number(threshold.on_each_task.speed_up)
    return f"{percent(threshold.fraction)}: {speed_up}{'' if speed_up == 'unknown' else '× as fast'}"


def _in_words(found: AdaptationSpeed) -> str:
    ups = "; ".join(f"{percent(one.fraction)}: {censored_bounded(one.on_each_task.speed_up)}" for one in found.thresholds)
    sides = "; ".join(
        f"{side.name} from {number(side.curve.value[0])} to {number(side.asymptote.value)} in {side.steps:,.0f} steps"
        for side in (found.agent, found.baseline)
    )
    return f"Mean return of an episode against environment steps: {sides}. Median speed-up at each threshold: {ups}."
