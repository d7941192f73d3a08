"""An explanation as a picture: the alternatives of the decision, and the change of the decision without each earlier step."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quickstudy.evaluation.explanation import LEAST_CHANGE, Explanation
from quickstudy.reports import canvas
from quickstudy.reports.canvas import INK, LIGHT, MUTED, Picture
from quickstudy.reports.charts import count_axis

_MOST_ACTIONS = 20
_LEAST_PLACES = 8
_LEAST_RANGE = 0.1
"""Upper end of the axis of changes of probabilities, at least."""


def explanation_picture(explained: Explanation, *, title: str) -> Picture:
    """Two panels below each other: the numbers of the actions, and the change of the decision without each earlier step.

    Args:
      explained: the decision.
      title: of the picture.
    """
    with canvas.style_context():
        figure = Figure(figsize=(canvas.WIDTH, 4.2), layout="constrained")
        first, second = figure.subplots(2, 1)
        _actions(first, explained)
        _influences(second, explained)
        moved = _moved(explained)
        return canvas.finish(
            figure,
            name="explanation",
            title=title,
            caption=f"Decision at step {explained.slot + 1}: action {explained.action}. {moved}",
            alternative=f"{title}: action {explained.action} at step {explained.slot + 1}. {moved}",
        )


def _moved(explained: Explanation) -> str:
    if not explained.influences:
        return "There is no earlier step."
    largest = explained.influences[0]
    if largest.change <= LEAST_CHANGE:
        return f"No single earlier step{f' of the newest {len(explained.influences)}' if explained.left else ''} moves it."
    return f"Step {largest.slot + 1} moves it most, by {largest.change:.2g}."


def _actions(axes: Axes, explained: Explanation) -> None:
    """Bars of the allowed actions, at most 20: the best, and the chosen one, which is filled in colour."""
    numbers = np.asarray(explained.numbers)
    places = np.arange(len(numbers))
    if len(explained.ranked) > _MOST_ACTIONS:
        own = int(explained.action) - explained.first
        others = [place for place in explained.ranked if place != own]
        places = np.sort([own, *others[: _MOST_ACTIONS - 1]])
    elif explained.ranked:
        places = np.sort(explained.ranked)
    chosen = [explained.best and str(explained.first + place) == explained.action for place in places]
    axes.bar(np.arange(len(places)), numbers[places], color=[LIGHT[0] if one else MUTED for one in chosen], width=0.7)
    axes.set_xticks(np.arange(len(places)), [str(explained.first + place) for place in places])
    if not explained.best:  # a bar of a single number would fill the panel
        spare = max(0.0, (_LEAST_PLACES - len(places)) / 2)
        axes.set_xlim(-0.5 - spare, len(places) - 0.5 + spare)
        axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(explained.kind if explained.best else "number of the action", fontsize=8.5)
    axes.set_xlabel("action" if explained.best else "place in the action", fontsize=8.5)


def _influences(axes: Axes, explained: Explanation) -> None:
    """One stem for each earlier step; filled in another colour where the reward was above zero."""
    in_order = sorted(explained.influences, key=lambda one: one.slot)
    at = np.asarray([one.slot + 1 for one in in_order])
    change = np.asarray([one.change for one in in_order])
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    if len(at):
        paid = np.asarray([one.reward > 0 for one in in_order])
        axes.vlines(at, 0.0, change, color=INK, linewidth=1.0)
        for which, colour, name in ((paid, LIGHT[2], "reward above 0"), (~paid, LIGHT[1], "reward of 0 or less")):
            if which.any():
                axes.plot(at[which], change[which], "o", color=colour, markersize=4, label=name)
        axes.legend(fontsize=7.5, frameon=False)
    if explained.kind in ("probability", "choice"):  # so that a change of nothing looks like nothing
        axes.set_ylim(0.0, max(_LEAST_RANGE, 1.1 * float(change.max(initial=0.0))))
    axes.set_ylabel("change without it", fontsize=8.5)
    count_axis(axes, "earlier step")
    axes.xaxis.label.set_fontsize(8.5)
    if len(at):
        axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)  # older steps were not left out, so their change is not shown as none
