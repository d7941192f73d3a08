"""Charts of a readout: the belief against the truth, and the share of tasks with an alarm."""

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
    """The belief about the task of one lifetime, against the truth.

    A real number is shown by its mean, its 50 % and 90 % credible sets, and a dashed line at the truth. A place on a grid is
    shown by the probability of every cell after a few numbers of steps, with a ring around the true cell.

    Args:
      told: by parameter: `[T, cells]` probabilities, or a mean and a standard deviation `[T, size]` in the parameter's unit.
      truth: by parameter, in the parameter's unit.
      named: the parameters of the task.
      horizon: steps of an episode.
      title: of the chart.
    """
    places = next((one for one in named if one.choices is not None and one.size == 2), None)
    with canvas.style_context():
        if places is not None:
            figure, moments = _places(np.asarray(told[places.name]), truth[places.name], places)
            caption = (
                f"Probability of every cell after {', '.join(map(str, moments))} steps; darker is more probable. "
                "The ring marks the true cell."
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
        axes.set_xlabel("environment steps")
        caption = "Mean with 50 % and 90 % credible sets; the dashed line is the truth. Vertical lines start a new episode."
        return canvas.finish(figure, name="belief", title=title, caption=caption, alternative=caption)


def surprise_picture(p_values: Mapping[str, Mapping[str, np.ndarray]], *, rate: float, title: str) -> Picture:
    """The share of tasks with an alarm so far: a panel for each kind of p-value, a line for each split.

    Args:
      p_values: by split, then by kind, `[tasks, T]` in [0, 1].
      rate: in (0, 1); an alarm is a p-value below it.
      title: of the chart.
    """
    kinds = list(next(iter(p_values.values())))
    with canvas.style_context():
        figure = Figure(figsize=(canvas.WIDTH, 3.4), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
        pens, shares = canvas.pens([(split, split.startswith("ood:")) for split in p_values]), []
        for axes, kind in zip(panels, kinds, strict=True):
            for split, found in p_values.items():
                by, pen = np.maximum.accumulate(found[kind] < rate, axis=1).mean(0), pens[split]
                style = {"color": pen.colour, "linestyle": pen.dashes, "linewidth": pen.width, "zorder": pen.order}
                axes.plot(np.arange(1, len(by) + 1), by, label=split.removeprefix("ood:"), **style)
                shares.append(f"{split} {by[-1]:.0%} ({kind.replace('_', ' ')})")
            axes.set_title(kind.replace("_", " "), loc="left", fontsize=9, color=INK)
            axes.set_ylim(-0.02, 1.02)
        panels[len(panels) // 2].set_xlabel("environment steps")
        panels[0].set_ylabel("share of tasks with an alarm so far")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(p_values), fontsize=8)
        return canvas.finish(
            figure,
            name="surprise",
            title=title,
            caption=f"An alarm is a p-value below {rate:g}: of the last step, of the last steps or of the task. "
            "Ordinary tasks have false alarms too, so their share rises with the steps.",
            alternative=f"Share of tasks with an alarm by the end of the lifetime: {', '.join(shares)}.",
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
    # Closer together at the start, where the belief changes most.
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
