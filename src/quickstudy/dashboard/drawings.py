"""Pictures that pages hold as SVG, drawn on the server: they need no script, and follow the colours of the page."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup

from quickstudy.dashboard.rendering import number

SHADES = 7
"""Steps of colour of a map, as classes of the style sheet."""
_PANEL = (150, 96)
_MAP, _LEFT, _BOTTOM, _TOP = 360, 74, 46, 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bins:
    """Means over tasks in rectangles of two parameters.

    Args:
      edges: `[bins + 1]` of the first parameter, then of the second one.
      means: `[bins, bins]`, first parameter first, reward units; NaN where there is no task.
      counts: `[bins, bins]`, tasks.
    """

    edges: tuple[Float[np.ndarray, " edges"], Float[np.ndarray, " edges"]]
    means: Float[np.ndarray, "bins bins"]
    counts: Int[np.ndarray, "bins bins"]


def binned_tasks(
    first: Float[np.ndarray, " tasks"], second: Float[np.ndarray, " tasks"], values: Float[np.ndarray, " tasks"], *, most: int
) -> Bins:
    """Mean values of tasks in bins of equal width. A parameter with few values has a bin for each.

    Args:
      first, second: parameters of the tasks.
      values: that are averaged, reward units.
      most: bins of each parameter.
    """
    edges = tuple(_edges(column, most) for column in (first, second))
    places = [
        np.clip(np.searchsorted(edge, x, side="right") - 1, 0, len(edge) - 2)
        for edge, x in zip(edges, (first, second), strict=True)
    ]
    shape = tuple(len(edge) - 1 for edge in edges)
    counts, sums = np.zeros(shape, int), np.zeros(shape)
    np.add.at(counts, tuple(places), 1)
    np.add.at(sums, tuple(places), values)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Bins(edges=(edges[0], edges[1]), means=means, counts=counts)


def task_map(
    bins: Bins, *, names: tuple[str, str], measure: str, ranges: tuple[tuple[float, float] | None, tuple[float, float] | None]
) -> Markup:
    """A map of bins with axes and a scale of its colours; a dashed frame is the range of training tasks.

    Args:
      bins: that are drawn.
      names: of the two parameters, with their units.
      measure: what the colours show, with its unit.
      ranges: smallest and largest value of each parameter over training tasks; None where unknown.
    """
    lows, highs = zip(*(_reach(edge, known) for edge, known in zip(bins.edges, ranges, strict=True)), strict=True)

    def across(x: float) -> float:
        return _LEFT + _MAP * (x - lows[0]) / (highs[0] - lows[0])

    def down(y: float) -> float:
        return _TOP + _MAP * (1 - (y - lows[1]) / (highs[1] - lows[1]))

    known = bins.means[bins.counts > 0]
    least, most = float(known.min()), float(known.max())
    parts = [Markup('<rect class="ground" x="{}" y="{}" width="{}" height="{}"/>').format(_LEFT, _TOP, _MAP, _MAP)]
    for i, j in zip(*np.nonzero(bins.counts), strict=True):
        x, right = across(bins.edges[0][i]), across(bins.edges[0][i + 1])
        bottom, y = down(bins.edges[1][j]), down(bins.edges[1][j + 1])
        mean, count = float(bins.means[i, j]), int(bins.counts[i, j])
        shade = min(SHADES - 1, int(SHADES * (mean - least) / (most - least))) if most > least else SHADES // 2
        said = f"{names[0]} {_span(bins.edges[0], i)}, {names[1]} {_span(bins.edges[1], j)}: {number(mean)}, {count} tasks"
        parts.append(
            Markup(
                '<rect class="shade-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format(shade, x, y, max(0.5, right - x), max(0.5, bottom - y), said)
        )
    if ranges[0] is not None and ranges[1] is not None:
        (x, right), (bottom, y) = map(across, ranges[0]), map(down, ranges[1])
        frame = '<rect class="training" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        parts.append(Markup(frame).format(x, y, max(1.0, right - x), max(1.0, bottom - y)))
    ticks = [np.linspace(low, high, 5).round(9).tolist() for low, high in zip(lows, highs, strict=True)]
    parts += [_text(across(tick), _TOP + _MAP + 16, number(tick, 3), anchor="middle") for tick in ticks[0]]
    parts += [_text(_LEFT - 8, down(tick) + 4, number(tick, 3), anchor="end") for tick in ticks[1]]
    parts.append(_text(_LEFT + _MAP / 2, _TOP + _MAP + 38, names[0], anchor="middle"))
    turned = '<text transform="translate(14 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
    parts.append(Markup(turned).format(_TOP + _MAP / 2, names[1]))
    parts += _scale(least, most, left=_LEFT + _MAP + 24)
    said = f"Map of the {measure} over {names[0]} and {names[1]}. The file below holds the numbers."
    head = '<svg class="map" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(head).format(_LEFT + _MAP + 120, _TOP + _MAP + _BOTTOM, said, Markup("").join(parts))


def small_multiples(
    steps: Sequence[float], rows: Float[np.ndarray, "panels points"], titles: Sequence[str], *, chosen: int, axis: str
) -> Markup:
    """One small panel for each curve, all on the same axes; the chosen one is marked.

    Args:
      steps: `[points]`, of every curve.
      rows: the curves.
      titles: of the panels.
      chosen: the panel that is marked.
      axis: what the vertical axis shows, with its unit.
    """
    width, height = _PANEL
    least, most = min(0.0, float(rows.min())), max(float(rows.max()), 1e-9)
    x = 40 + (width - 48) * (np.asarray(steps, float) - steps[0]) / max(1e-9, steps[-1] - steps[0])
    panels = []
    for place, (row, title) in enumerate(zip(rows, titles, strict=True)):
        y = height - 20 - (height - 40) * (row - least) / (most - least)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        inner = Markup("").join(
            [
                Markup('<path class="axes" d="M40 20V{0}H{1}"/>').format(height - 20, width - 8),
                Markup('<polyline class="curve" points="{}"/>').format(points),
                _text(36, 26, number(most, 3), anchor="end"),
                _text(36, height - 18, number(least, 3), anchor="end"),
                _text(40, height - 6, number(int(steps[0])), anchor="start"),
                _text(width - 8, height - 6, number(int(steps[-1])), anchor="end"),
                _text(40, 13, title, anchor="start"),
            ]
        )
        said = f"{title}: {axis}, {number(float(row[0]))} at the first step and {number(float(row[-1]))} at the last"
        head = '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        panels.append(Markup(head).format("panel chosen" if place == chosen else "panel", width, height, said, inner))
    return Markup("").join(panels)


def _edges(column: Float[np.ndarray, " tasks"], most: int) -> Float[np.ndarray, " edges"]:
    """Edges of bins: between the values where there are few of them, else of equal width."""
    values = np.unique(column)
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    if len(values) <= most:
        middles = (values[1:] + values[:-1]) / 2
        return np.concatenate([[2 * values[0] - middles[0]], middles, [2 * values[-1] - middles[-1]]])
    return np.linspace(values[0], values[-1], most + 1)


def _reach(edges: Float[np.ndarray, " edges"], known: tuple[float, float] | None) -> tuple[float, float]:
    ends = (float(edges[0]), float(edges[-1])) if known is None else (min(edges[0], known[0]), max(edges[-1], known[1]))
    more = 0.02 * (ends[1] - ends[0])
    return ends[0] - more, ends[1] + more


def _span(edges: Float[np.ndarray, " edges"], place: int) -> str:
    return f"{number(float(edges[place]), 3)} to {number(float(edges[place + 1]), 3)}"


def _text(x: float, y: float, words: str, *, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _scale(least: float, most: float, *, left: float) -> list[Markup]:
    """The scale of the colours, largest value on top."""
    parts, each = [], 24
    for shade in range(SHADES):
        y = _TOP + each * (SHADES - 1 - shade)
        parts.append(Markup('<rect class="shade-{}" x="{}" y="{}" width="16" height="{}"/>').format(shade, left, y, each))
    for words, y in ((number(most, 3), _TOP + 10), (number(least, 3), _TOP + each * SHADES)):
        parts.append(_text(left + 22, y, words, anchor="start"))
    return parts
