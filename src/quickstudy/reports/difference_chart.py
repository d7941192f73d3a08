"""The paired differences of an evaluation as one chart: the agent minus each other contender, on the same tasks."""

import math
from collections.abc import Mapping

from quickstudy.evaluation.numbers import bounded, number
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.summary import ranked, subject
from quickstudy.reports import canvas
from quickstudy.reports.canvas import INK, MUTED, Pen, Picture


def differences(evaluation: Evaluation, pens: Mapping[str, Pen]) -> Picture | None:
    """A dot with its interval for each contender that the agent was compared with, the best one on top.

    Args:
      evaluation: with the agent, which is the one that the summary is about.
      pens: by contender.
    Returns:
      None if the agent was compared with nothing.
    """
    name = subject(evaluation)
    others = [other for other, _ in reversed(ranked(evaluation)) if other != name]
    pairs = {other: evaluation.compare(name, other) for other in others}
    known = {other: pair.difference for other, pair in pairs.items() if pair is not None and pair.difference.value is not None}
    if not known:
        return None
    with canvas.style_context():
        height = 0.95 + 0.27 * max(3, len(known))
        figure, axes = canvas.canvas(height=height)
        left = 0.03 + 0.0195 * max(len(canvas.short(other)) for other in known)
        axes.set_position((left, 0.52 / height, 0.865 - left, 1 - 0.6 / height))
        axes.axvline(0.0, color=MUTED, linewidth=1.2)
        for row, (other, estimate) in enumerate(known.items()):
            pen = pens[other]
            low, value, high = (math.nan if x is None else x for x in (estimate.low, estimate.value, estimate.high))
            axes.plot([low, high], [row, row], color=pen.colour, linewidth=1.8)
            axes.plot([value], [row], "o", color=pen.colour, markersize=5.5, zorder=5)
            axes.text(
                1.015, row, number(estimate.value, signed=True), transform=axes.get_yaxis_transform(),
                verticalalignment="center", color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(known)), [canvas.short(other) for other in known])
        axes.set_ylim(-0.6, len(known) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("difference in lifetime return")
        values = "; ".join(f"{other} {bounded(estimate, signed=True)}" for other, estimate in reversed(known.items()))
        return canvas.finish(
            figure,
            name="differences",
            title=f"{name} minus each other contender",
            caption=f"Task by task, with common random numbers. Right of the line {name} is better. Bars are 95 % intervals.",
            alternative=f"Mean lifetime return of {name} minus that of each other contender: {values}.",
        )
