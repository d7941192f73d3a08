"""Pictures of a readout: what is believed against what is true, and how soon something unusual is noticed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from quickstudy.evaluation.belief_probe.calibration import LEVELS
from quickstudy.evaluation.belief_probe.probe import NormalEstimate
from quickstudy.evaluation.belief_probe.targets import TaskParameter
from quickstudy.reports import canvas
from quickstudy.reports.canvas import INK, LIGHT, MUTED, Picture

_ROW = 2.3
_MOST_PANELS = 4
_MOMENTS = 6


def belief_picture(
    told: Mapping[str, NormalEstimate | np.ndarray],
    truth: Mapping[str, np.ndarray],
    named: Sequence[TaskParameter],
    *,
    horizon: int,
    title: str,
) -> Picture:
    """What is told of one lifetime's task `[T, ...]`, against the truth.

    A real number: its mean, the sets of 50 and 90 %, and a dashed line at the truth. A place on a grid: the probability of
    every cell at a few moments, with a ring around the true one.
    """
    places = next((one for one in named if one.choices is not None and one.size == 2), None)
    with canvas.style_context():
        if places is not None:
            figure, moments = _places(np.asarray(told[places.name]), truth[places.name], places)
            caption = (
                f"Probability of every cell, after {', '.join(map(str, moments))} steps, the darker the likelier; "
                "cells without colour hold no goal. The ring is the truth."
            )
            return canvas.finish(figure, name="belief", title=title, caption=caption, alternative=caption)
        numbers = [(one, index) for one in named if one.choices is None for index in range(one.size)][:_MOST_PANELS]
        figure = Figure(figsize=(canvas.WIDTH, _ROW * len(numbers) + 0.3), layout="constrained")
        for axes, (one, index) in zip(np.atleast_1d(figure.subplots(len(numbers), 1, sharex=True)), numbers, strict=True):
            value = told[one.name]
            assert isinstance(value, NormalEstimate)
            mean, deviation = np.asarray(value.mean)[:, index], np.asarray(value.deviation)[:, index]
            _fan(axes, mean, deviation, float(truth[one.name].reshape(-1)[index]), horizon)
            axes.set_ylabel(one.name if one.size == 1 else f"{one.name} [{index}]", fontsize=8.5)
        axes.set_xlabel("environment steps lived")
        caption = (
            "Mean and the sets that hold the truth in 50 and 90 of 100 cases; dashed: the truth. Thin lines: a new episode."
        )
        return canvas.finish(figure, name="belief", title=title, caption=caption, alternative=caption)


def surprise_picture(p_values: Mapping[str, Mapping[str, np.ndarray]], *, rate: float, title: str) -> Picture:
    """Part of the tasks that have alarmed by a step: a panel for each kind of surprise, a line for each split.

    Args:
      p_values: by split, then by kind, `[tasks, T]`.
      rate: alarm below it.
      title: of the picture.
    """
    kinds = list(next(iter(p_values.values())))
    with canvas.style_context():
        figure = Figure(figsize=(canvas.WIDTH, 3.4), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
        pens, told = canvas.pens([(split, split.startswith("ood:")) for split in p_values]), []
        for axes, kind in zip(panels, kinds, strict=True):
            for split, found in p_values.items():
                by, pen = np.maximum.accumulate(found[kind] < rate, axis=1).mean(0), pens[split]
                style = {"color": pen.colour, "linestyle": pen.dashes, "linewidth": pen.width, "zorder": pen.order}
                axes.plot(np.arange(1, len(by) + 1), by, label=split.removeprefix("ood:"), **style)
                told.append(f"{split} {by[-1]:.0%} ({kind})")
            axes.set_title(f"p-value of {kind.replace('_', ' ')}", loc="left", fontsize=9, color=INK)
            axes.set_ylim(-0.02, 1.02)
        panels[len(panels) // 2].set_xlabel("environment steps lived")
        panels[0].set_ylabel("part of tasks with an alarm so far")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(p_values), fontsize=8)
        return canvas.finish(
            figure,
            name="surprise",
            title=title,
            caption=f"Alarm: a p-value below {rate:g}. It ranks the last outcome (step), the outcomes of the last steps, or "
            "the estimated task among those of ordinary tasks. Ordinary tasks alarm too in the course of a lifetime.",
            alternative=f"By the end of the lifetime alarms were raised on: {', '.join(told)}.",
        )


def _fan(axes: Axes, mean: np.ndarray, deviation: np.ndarray, truth: float, horizon: int) -> None:
    steps = np.arange(len(mean))
    for width, alpha in zip(LEVELS.values(), (0.3, 0.15), strict=True):
        axes.fill_between(steps, mean - width * deviation, mean + width * deviation, color=LIGHT[0], alpha=alpha, linewidth=0)
    axes.plot(steps, mean, color=LIGHT[0], linewidth=2.0)
    axes.axhline(truth, color=INK, linestyle=(0, (5, 2)), linewidth=1.2)
    for start in range(horizon, len(mean), horizon):
        axes.axvline(start, color=MUTED, linewidth=0.8)


def _places(chances: np.ndarray, truth: np.ndarray, named: TaskParameter) -> tuple[Figure, list[int]]:
    assert named.choices is not None
    cells = np.array(named.choices)
    shape = cells.max(0) + 1
    # Closer together at the start, when most is found out.
    moments = [round((len(chances) - 1) * (number / (_MOMENTS - 1)) ** 2) for number in range(_MOMENTS)]
    figure = Figure(figsize=(canvas.WIDTH, 3.7), layout="constrained")
    for axes, moment in zip(figure.subplots(2, _MOMENTS // 2).ravel(), moments, strict=True):
        board = np.full(shape, np.nan)
        board[cells[:, 0], cells[:, 1]] = chances[moment]
        axes.imshow(board, norm=PowerNorm(0.5, vmin=0.0, vmax=1.0), cmap="Blues", origin="lower")
        row, column = truth.reshape(-1)
        axes.plot(column, row, "o", markersize=13, markerfacecolor="none", markeredgecolor=LIGHT[1], markeredgewidth=2.0)
        axes.set_title(f"after {moment} steps", fontsize=9, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
    return figure, moments
