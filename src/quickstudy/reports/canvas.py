"""What all charts share: colours for two themes, line styles, labels at the ends of curves, and SVG for a page.

Charts are drawn once, in the colours of the light theme. On a page these colours become CSS variables, so one SVG serves
both themes. Figures are made without pyplot, which would keep them in a global list.
"""

import dataclasses
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quickstudy.protocol.printable import printable

PAPER, INK, MUTED, GRID = "#fffffe", "#1c2127", "#5f6b7a", "#e4e7eb"
LIGHT = (
    "#0068b5", "#d1491b", "#007a5a", "#a0408f", "#8a6d00",
    "#2b8cbe", "#7a1f4b", "#3b3f9e", "#4d7c0f", "#6b5b53",
)  # fmt: skip
DARK = (
    "#5cb3f5", "#ff9166", "#3fd0a5", "#e08fd0", "#e3c04a",
    "#8fd3f0", "#f08bb5", "#a9acf7", "#a9d65c", "#c9b8ae",
)  # fmt: skip
"""Ten hues that also differ in lightness, for colour-blind readers. Dashes distinguish curves a second time."""

_DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1.2)), "-")
_LONGEST_LABEL = 22

WIDTH, HEIGHT = 5.2, 3.5
"""Inches. A small figure keeps its text readable on a phone, where the page shrinks it."""

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.01,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "quickstudy",
    "lines.solid_capstyle": "round",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pen:
    """How one contender is drawn in every chart: `place` in the palette, dashes, line width in points, drawing order."""

    place: int
    dashes: Any
    width: float
    order: int

    @property
    def colour(self) -> str:
        """In the light theme."""
        return LIGHT[self.place]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A finished chart.

    Args:
      name: of its files, without an ending.
      title: shown above it.
      caption: one or two sentences, shown below it.
      alternative: its content in words, for screen readers.
      svg: a whole SVG file.
      png: a whole PNG file.
    """

    name: str
    title: str
    caption: str
    alternative: str
    svg: str
    png: bytes


def pens(contenders: Sequence[tuple[str, bool]], *, controls: Mapping[str, str] | None = None) -> dict[str, Pen]:
    """A pen for each (name, trained): trained agents first in the palette, solid and thick; baselines thin and dashed.

    Args:
      contenders: name, and whether it is trained.
      controls: controls by name, with the contender whose colour they have.
    """
    found, controls = {}, controls or {}
    ordered = sorted((one for one in contenders if one[0] not in controls), key=lambda one: not one[1])
    for place, (name, trained) in enumerate(ordered):
        found[name] = Pen(
            place=place % len(LIGHT),
            dashes="-" if trained else _DASHES[place % len(_DASHES)],
            width=2.6 if trained else 1.4,
            order=5 if trained else 3,
        )
    for place, (name, agent) in enumerate((name, controls[name]) for name, _ in contenders if name in controls):
        found[name] = Pen(place=found[agent].place, dashes=_DASHES[(place + 1) % len(_DASHES)], width=1.4, order=4)
    return found


def canvas(*, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure with one set of axes. Call within `style_context()`."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_axes((0.135, 0.48 / height, 0.845, 1 - 0.6 / height))


def short(name: str) -> str:
    """A name short enough for the end of a curve; tables show the whole name."""
    name = printable(name)
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"


def label_ends(axes: Axes, ends: Sequence[tuple[str, float, Pen | None]], *, figure_height: float = HEIGHT) -> None:
    """Names each curve to the right of the axes, at its end, moved apart where the ends are close.

    Args:
      axes: with their final limits.
      ends: name, last value in data units, and the pen; None as the pen of a reference line.
      figure_height: inches.
    """
    longest = max(len(short(name)) for name, _, _ in ends)
    box = axes.get_position()
    axes.set_position((box.x0, box.y0, max(0.35, 0.915 - box.x0 - 0.0158 * longest), box.height))
    points = axes.get_position().height * figure_height * 72
    # matplotlib computes limits lazily; reading them updates the transformation below.
    axes.get_xlim(), axes.get_ylim()
    # matplotlib treats lines in axes coordinates as data too, so they would change the limits.
    axes.autoscale(enable=False)
    to_axes = axes.transData + axes.transAxes.inverted()
    ordered = sorted(((to_axes.transform((0, value))[1], name, pen) for name, value, pen in ends), key=lambda x: x[0])
    places = spread([place for place, _, _ in ordered], apart=12.5 / points)
    for place, (at, name, pen) in zip(places, ordered, strict=True):
        line: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": 1.0}
        if pen is not None:
            line = {"color": pen.colour, "linestyle": pen.dashes, "linewidth": pen.width}
        axes.plot([1.0, 1.055], [at, place], transform=axes.transAxes, clip_on=False, **line)
        thick = pen is not None and pen.width > 2
        axes.text(
            1.07,
            place,
            short(name),
            transform=axes.transAxes,
            verticalalignment="center",
            color=MUTED if pen is None else INK,
            fontweight="bold" if thick else "normal",
        )


def spread(places: Sequence[float], *, apart: float) -> list[float]:
    """Increasing places in [0, 1], moved until neighbours differ by at least `apart`.

    Places that are too close form a group around their mean. The result stays in [0, 1] if it fits.
    """
    groups: list[tuple[float, int]] = []
    for place in places:
        centre, count = place, 1
        while groups and groups[-1][0] + apart * (groups[-1][1] + count) / 2 > centre:
            before, members = groups.pop()
            centre, count = (before * members + centre * count) / (members + count), members + count
        groups.append((centre, count))
    found = [centre + apart * (index - (count - 1) / 2) for centre, count in groups for index in range(count)]
    low, high = 0.0, 1.0
    for index in range(len(found)):
        found[index] = low = max(found[index], low)
        low += apart
    for index in reversed(range(len(found))):
        found[index] = high = min(found[index], high)
        high -= apart
    return found


_say: ContextVar[Callable[[str], str]] = ContextVar("say", default=str)


@contextmanager
def words_of(say: Callable[[str], str]) -> Iterator[None]:
    """Charts that are finished in this block have the words that `say` gives: in titles, captions and names of axes."""
    before = _say.set(say)
    try:
        yield
    finally:
        _say.reset(before)


def finish(figure: Figure, *, name: str, title: str, caption: str, alternative: str) -> Picture:
    """Renders a figure as SVG and PNG; the same figure gives the same bytes."""
    say = _say.get()
    for axes in figure.axes:
        axes.set_xlabel(say(axes.get_xlabel()))
        axes.set_ylabel(say(axes.get_ylabel()))
    title, caption, alternative = say(title), say(caption), say(alternative)
    files = {}
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        file = io.BytesIO()
        with warnings.catch_warnings():
            # A name may have letters that are missing in the font of the PNG; the SVG and the page show them.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(file, format=kind, dpi=200, metadata=metadata)
        files[kind] = file.getvalue()
    svg = files["svg"].decode()
    return Picture(name=name, title=title, caption=caption, alternative=alternative, svg=svg, png=files["png"])


def style_context() -> Any:
    """The matplotlib settings of all charts, for a `with` block."""
    return matplotlib.rc_context(STYLE)  # type: ignore[arg-type]


def inline(picture: Picture, *, label: str) -> str:
    """The SVG as an element of a page, with colours as CSS variables, unique identifiers and the font of the page.

    Args:
      picture: the chart to show.
      label: text for screen readers, already escaped for an attribute.
    """
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    labelled = f' role="img" aria-label="{label}"'
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', lambda found: found[1] + labelled, svg, count=1)
    svg = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick)_\d+"', "", svg)
    svg = re.sub(r'id="([^"]+)"', rf'id="{picture.name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{picture.name}-", svg)
    svg = re.sub(r"font: (?:(bold|\d{3}) )?([\d.]+)px [^;\"]+", _font, svg)
    variables = {PAPER: "none", INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
    variables |= {colour: f"var(--series-{place})" for place, colour in enumerate(LIGHT)}
    for colour, variable in variables.items():
        svg = svg.replace(colour, variable)
    return svg


def _font(match: re.Match) -> str:
    return f"font-size: {match[2]}px; font-weight: {match[1] or 'normal'}"
