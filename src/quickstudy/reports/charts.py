"""The charts of an evaluation and of a training run: adaptation curves, scores on each split, and the training curve."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from quickstudy.evaluation.numbers import number, tick
from quickstudy.evaluation.results import Curve, Evaluation
from quickstudy.evaluation.summary import ranked
from quickstudy.numerics.statistics import Estimate
from quickstudy.reports import canvas
from quickstudy.reports.canvas import INK, MUTED, Pen, Picture

TASK_KNOWN, RANDOM_ACTIONS = "task known", "random actions"
"""Labels of the ceiling and of the floor."""

_LARGEST = 1e100
_SMOOTHED_FROM = 60
_LOGARITHMIC_FROM = 6.0


def adaptation_curves(evaluation: Evaluation, pens: Mapping[str, Pen]) -> list[Picture]:
    """Mean reward along the lifetime, and the cumulative regret (or return, if the ceiling is unknown).

    Tasks with several episodes of several steps have the reward at each step as a third chart.
    """
    pictures = [_reward(evaluation, pens)]
    if evaluation.ceiling is not None:
        pictures.append(_regret(evaluation, pens))
    else:
        curves = {name: result.cumulative_return for name, result in evaluation.results.items()}
        pictures.append(_total(evaluation, pens, curves, word="return"))
    if by_episode(evaluation):
        pictures.append(_reward_by_step(evaluation, pens))
    return pictures


def by_episode(evaluation: Evaluation) -> bool:
    """Whether charts show one point for each episode instead of one for each step."""
    return evaluation.spec["episodes"] > 1 and evaluation.spec["horizon"] > 1


def split_scores(evaluation: Evaluation, pens: Mapping[str, Pen], limits: tuple[float, float], *, name: str) -> Picture:
    """The score of every contender on one split: a dot with its interval, the best on top.

    Args:
      evaluation: on that split.
      pens: by contender.
      limits: of the axis, the same for all splits of a page that show the same quantity.
      name: of the chart's files.
    """
    scores = split_estimates(evaluation)
    ordered = [contender for contender, _ in reversed(ranked(evaluation))]
    normalised = has_scores(evaluation)
    word = "score (0: random actions, 1: task known)" if normalised else "lifetime return"
    with canvas.style_context():
        height = 0.95 + 0.27 * max(3, len(ordered))
        figure, axes = canvas.canvas(height=height)
        longest = max(len(canvas.short(contender)) for contender in ordered)
        left = 0.03 + 0.0195 * longest
        axes.set_position((left, 0.52 / height, 0.885 - left, 1 - 0.6 / height))
        for row, contender in enumerate(ordered):
            score, pen = scores[contender], pens[contender]
            low, value, high = _numbers((score.low, score.value, score.high))
            axes.plot([low, high], [row, row], color=pen.colour, linewidth=pen.width)
            axes.plot([value], [row], "o", color=pen.colour, markersize=4 + pen.width, zorder=5)
            axes.text(
                1.015, row, number(score.value, 2 if normalised else None), transform=axes.get_yaxis_transform(),
                verticalalignment="center", color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(ordered)), [canvas.short(contender) for contender in ordered])
        for label, contender in zip(axes.get_yticklabels(), ordered, strict=True):
            label.set_fontweight("bold" if evaluation.results[contender].trained else "normal")
        axes.set_xlim(*limits)
        axes.set_ylim(-0.6, len(ordered) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(word)
        values = "; ".join(f"{contender} {number(scores[contender].value, 2)}" for contender in reversed(ordered))
        return canvas.finish(
            figure,
            name=name,
            title=evaluation.label[0].upper() + evaluation.label[1:],
            caption=f"Split {evaluation.split}: {evaluation.tasks:,} tasks, task list {evaluation.task_hash[:12]}. "
            "Bars are 95 % intervals.",
            alternative=f"Dot plot of the {word} on {evaluation.label}, best first: {values}.",
        )


def has_scores(evaluation: Evaluation) -> bool:
    """Whether every contender has a normalised score; else a split is drawn in lifetime returns."""
    return all(result.normalised_score is not None for result in evaluation.results.values())


def split_estimates(evaluation: Evaluation) -> dict[str, Estimate]:
    """The normalised score of each contender, or its lifetime return where not all have a score."""
    scored = has_scores(evaluation)
    return {
        name: result.normalised_score if scored and result.normalised_score is not None else result.lifetime_return
        for name, result in evaluation.results.items()
    }


def training_curve(metrics: Sequence[Mapping[str, Any]], evaluation: Evaluation, pens: Mapping[str, Pen]) -> Picture | None:
    """Lifetime return on training and held-out tasks against environment steps, with the baselines as horizontal lines.

    Args:
      metrics: lines of a run's metrics file.
      evaluation: with the baselines to draw.
      pens: by contender.
    Returns:
      None if no line has a finite return.
    """
    train, held_out = (_series(metrics, name) for name in ("train_return", "held_out_return"))
    if not len(train[0]) and not len(held_out[0]):
        return None
    trained = next((name for name, result in evaluation.results.items() if result.trained), None)
    pen = pens[trained] if trained is not None else next(iter(pens.values()))
    with canvas.style_context():
        figure, axes = canvas.canvas()
        ends: list[tuple[str, float, Pen | None]] = []
        for (steps, returns), colour, width in ((train, MUTED, 1.2), (held_out, pen.colour, 2.6)):
            axes.plot(steps, returns, color=colour, linewidth=0.7, alpha=0.45)
            axes.plot(steps, returns.mean(1) if len(steps) else [], color=colour, linewidth=width, zorder=4)
        if len(held_out[0]):
            axes.plot(held_out[0], held_out[1].mean(1), "o", color=pen.colour, markersize=3.5, zorder=5)
        for name, result in evaluation.results.items():
            if not result.trained and result.control is None and result.lifetime_return.value is not None:
                level, of = result.lifetime_return.value, pens[name]
                axes.axhline(level, color=of.colour, linestyle=of.dashes, linewidth=1.1, alpha=0.9)
                ends.append((name, level, of))
        if len(train[0]):
            ends.append(("training tasks", float(train[1][-1].mean()), None))
        if len(held_out[0]):
            ends.append(("held-out tasks", float(held_out[1][-1].mean()), pen))
        count_axis(axes, "environment steps per seed")
        axes.set_ylabel("lifetime return")
        canvas.label_ends(axes, ends)
        seeds = (held_out if len(held_out[0]) else train)[1].shape[1]
        last = held_out if len(held_out[0]) else train
        change = f"from {number(float(last[1][0].mean()))} to {number(float(last[1][-1].mean()))}"
        return canvas.finish(
            figure,
            name="training",
            title="Lifetime return during training",
            caption=f"Mean of {seeds} seed{'s' if seeds > 1 else ''}; thin lines are single seeds. Dashed lines are baselines.",
            alternative=f"Lifetime return during training, {change} after {int(last[0][-1]):,} environment steps per seed.",
        )


def _reward(evaluation: Evaluation, pens: Mapping[str, Pen]) -> Picture:
    episodes = by_episode(evaluation)
    curves = {
        name: result.return_by_episode if episodes else result.reward_by_step for name, result in evaluation.results.items()
    }
    count = len(next(iter(curves.values())).at)
    window = smoothing(count)
    what = "return of an episode" if episodes else "reward of a step"
    label = f"{what}, mean over {window} {'episodes' if episodes else 'steps'}" if window > 1 else what
    with canvas.style_context():
        figure, axes = canvas.canvas()
        ends = _draw(axes, curves, pens, window=window)
        if episodes or evaluation.spec["horizon"] == 1:
            for name, anchor in ((TASK_KNOWN, evaluation.ceiling), ("random (expected)", evaluation.floor)):
                if anchor is not None and anchor.value is not None:
                    axes.axhline(anchor.value / count, color=MUTED, linestyle=":", linewidth=1.0)
                    ends.append((name, anchor.value / count, None))
        count_axis(axes, "episode of the lifetime" if episodes else "step of the lifetime")
        axes.set_ylabel(label)
        canvas.label_ends(axes, ends)
        return canvas.finish(
            figure,
            name="adaptation",
            title="Return of each episode" if episodes else "Reward at each step",
            caption="Mean over tasks and seeds. Bands are pointwise 95 % intervals.",
            alternative=f"Mean {what} along the lifetime. {_changes(curves)}",
        )


def _reward_by_step(evaluation: Evaluation, pens: Mapping[str, Pen]) -> Picture:
    curves = {name: result.reward_by_step for name, result in evaluation.results.items()}
    window = smoothing(evaluation.lifetime_steps)
    with canvas.style_context():
        figure, axes = canvas.canvas()
        ends = _draw(axes, curves, pens, window=window)
        for boundary in range(1, min(evaluation.spec["episodes"], 30)):
            axes.axvline(boundary * evaluation.spec["horizon"] + 0.5, color=MUTED, linewidth=0.5, alpha=0.6)
        count_axis(axes, "step (vertical lines: new episode)")
        axes.set_ylabel("reward of a step" + (f", mean over {window} steps" if window > 1 else ""))
        canvas.label_ends(axes, ends)
        return canvas.finish(
            figure,
            name="adaptation-by-step",
            title="Reward at each step",
            caption="Mean over the lifetimes whose episode has not ended. Bands are pointwise 95 % intervals.",
            alternative=f"Mean reward at each step. {_changes(curves)}",
        )


def _regret(evaluation: Evaluation, pens: Mapping[str, Pen]) -> Picture:
    found = {name: result.cumulative_regret for name, result in evaluation.results.items()}
    return _total(evaluation, pens, {name: curve for name, curve in found.items() if curve is not None}, word="regret")


def _total(evaluation: Evaluation, pens: Mapping[str, Pen], curves: Mapping[str, Curve], *, word: str) -> Picture:
    last = [curve.value[-1] for curve in curves.values()]
    finals = [value for value in last if value is not None]
    # If regrets differ by a large factor, a linear axis would not separate the best contenders.
    logarithmic = word == "regret" and min(finals) > 0 and max(finals) / min(finals) > _LOGARITHMIC_FROM
    episodes = by_episode(evaluation) and word == "regret"
    with canvas.style_context():
        figure, axes = canvas.canvas()
        if logarithmic:
            axes.set_yscale("log")
            starts = [value for curve in curves.values() for value in curve.value if value is not None and value > 0]
            axes.set_ylim(max(min(starts), max(finals) / 200) * 0.8, max(finals) * 1.3)
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ends = _draw(axes, curves, pens, window=1)
        count_axis(axes, "episode of the lifetime" if episodes else "step of the lifetime")
        axes.set_ylabel(f"cumulative {word}" + (" (log scale)" if logarithmic else ""))
        canvas.label_ends(axes, ends)
        what = "Return lost so far against an agent that knows the task; lower is better."
        return canvas.finish(
            figure,
            name=word,
            title=f"Cumulative {word}",
            caption=f"{what if word == 'regret' else 'Sum of the rewards so far.'} Bands are pointwise 95 % intervals.",
            alternative=f"Cumulative {word} along the lifetime. {_changes(curves)}",
        )


def smoothing(count: int) -> int:
    """The number of points in the moving average of a drawn curve: an odd number, and 1 for short curves."""
    return 1 if count < _SMOOTHED_FROM else 2 * (count // 80) + 1


def _draw(
    axes: Axes, curves: Mapping[str, Curve], pens: Mapping[str, Pen], *, window: int
) -> list[tuple[str, float, Pen | None]]:
    ends: list[tuple[str, float, Pen | None]] = []
    for index, (name, curve) in enumerate(curves.items()):
        pen = pens[name]
        # Curves of one point stand side by side, or they would cover each other.
        at = [1 + 0.8 * ((index + 0.5) / len(curves) - 0.5)] if len(curve.at) == 1 else curve.at
        value, low, high = (_smoothed(_numbers(column), window) for column in (curve.value, curve.low, curve.high))
        marker = "o" if np.isfinite(value).sum() <= 12 else ""
        axes.fill_between(
            at, low, high, color=pen.colour, alpha=0.18 if pen.width > 2 else 0.09, linewidth=0, zorder=pen.order - 1
        )
        axes.plot(
            at, value, color=pen.colour, linestyle=pen.dashes, linewidth=pen.width, zorder=pen.order,
            marker=marker, markersize=2.2 + pen.width,
        )  # fmt: skip
        if len(curve.at) == 1:
            axes.set_xlim(0.5, 1.5)
            axes.vlines(at, low, high, color=pen.colour, linewidth=pen.width)
        known = value[np.isfinite(value)]
        if len(known):
            ends.append((name, float(known[-1]), pen))
    return ends


def count_axis(axes: Axes, label: str) -> None:
    """Names a horizontal axis of counts, whose ticks are whole numbers."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.asarray([math.nan if value is None else value for value in values])


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average over `window` points, fewer at the ends; missing points are left out."""
    if window == 1:
        return values
    known = np.isfinite(values)
    sums = np.convolve(np.where(known, values, 0.0), np.ones(window), "same")
    counts = np.convolve(known.astype(float), np.ones(window), "same")
    return np.where(known, sums / np.maximum(counts, 1), math.nan)


def _series(metrics: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps `[lines]` and values `[lines, seeds]` of the lines with finite values, as many as in the first of them."""
    lines = [line for line in metrics if _is_number(line.get("steps")) and _are_numbers(line.get(name))]
    lines = [line for line in lines if len(line[name]) == len(lines[0][name])]
    steps = np.asarray([line["steps"] for line in lines], float)
    return steps, np.asarray([line[name] for line in lines], float).reshape(len(lines), -1 if lines else 0)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and bool(values) and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _changes(curves: Mapping[str, Curve]) -> str:
    """The first and the last value of each curve in words."""
    changes = []
    for name, curve in curves.items():
        known = [value for value in curve.value if value is not None]
        if known:
            changes.append(f"{name} from {number(known[0])} to {number(known[-1])}")
    return "; ".join(changes) + "."
