"""The contenders of an evaluation as tables of a page: the main measures, and further ones that a click opens.

A column that holds nothing for any contender is left out.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from quickstudy.evaluation.adaptation import compared_ends
from quickstudy.evaluation.numbers import bounded, byte_size, ends, number, percent
from quickstudy.evaluation.results import Evaluation, PairedComparison, Result
from quickstudy.evaluation.summary import THRESHOLD, ranked
from quickstudy.numerics.statistics import Estimate
from quickstudy.reports.canvas import Pen
from quickstudy.reports.page_parts import text
from quickstudy.reports.wording import Say

_UNKNOWN = "–"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of a table.

    Args:
      heading: in the usual words.
      cell: markup of a contender's cell, from its name and result; None where it holds nothing.
    """

    heading: str
    cell: Callable[[str, Result], str | None]


def contender_tables(main: Evaluation, pens: Mapping[str, Pen], say: Say) -> str:
    """The table of contenders, best return first, what its signs mean, and further measures with all definitions, folded.

    Args:
      main: the evaluation.
      pens: by contender; their colours stand before the names.
      say: the words of the page's readers for the usual ones.
    """
    notes = "".join(f"<dt>{text(say(name))}</dt><dd>{text(say(meaning))}</dd>" for name, meaning in main.definitions.items())
    return (
        f"{_table(main, _first_columns(main), pens, say, label=f'Results on {main.label}')}"
        '<p class="note">Meta-trained agents are bold. Small numbers are 95 % intervals. '
        f"▲ better than {text(main.reference)}, ▼ worse, ≈ no significant difference. "
        f"Gain: from {text(say(compared_ends(main)))}.</p>"
        "<details><summary>More measures, and definitions of all</summary>"
        f"{_table(main, _further_columns(main), pens, say, label=f'More measures on {main.label}')}"
        f"<dl>{notes}<dt>memory</dt><dd>size of the memory of one lifetime</dd><dt>µs per decision</dt>"
        f"<dd>median and 99th percentile of one decision without batching, on {text(main.machine)}</dd></dl></details>"
    )


def _first_columns(main: Evaluation) -> list[_Column]:
    reference, experiment = main.reference, main.spec["horizon"] == 1  # where variants are tried, a step is an episode
    threshold = percent(float(THRESHOLD)).replace(" ", "\N{NO-BREAK SPACE}")
    of_experiments = [
        _Column(heading=f"lift of {reference}", cell=lambda name, _: _lift(_compared(main, name))),
        _Column(heading="P(best)", cell=lambda _, result: _share(result.probability_of_being_best)),
    ]
    return [
        _Column(heading="lifetime return", cell=lambda _, result: _estimate(result.lifetime_return)),
        _Column(heading="gain", cell=lambda _, result: _estimate(result.gain, signed=True)),
        _Column(heading="normalised score", cell=lambda _, result: _estimate(result.normalised_score)),
        _Column(heading=f"minus {reference}", cell=lambda name, _: _difference(_compared(main, name))),
        *(of_experiments if experiment else []),
        _Column(heading=f"steps to {threshold}", cell=lambda _, result: _steps(result.steps_to.get(THRESHOLD))),
    ]


def _further_columns(main: Evaluation) -> list[_Column]:
    return [
        _Column(heading="interquartile mean", cell=lambda _, result: _estimate(result.interquartile_mean)),
        _Column(heading="regret", cell=lambda _, result: _estimate(result.regret)),
        _Column(heading=f"P(better than {main.reference})", cell=lambda name, _: _chance(_compared(main, name))),
        _Column(heading="memory", cell=lambda _, result: byte_size(result.memory_bytes)),
        _Column(heading="µs per decision", cell=lambda _, result: _times(result.decision_microseconds)),
    ]


def _table(main: Evaluation, columns: Sequence[_Column], pens: Mapping[str, Pen], say: Say, *, label: str) -> str:
    contenders = ranked(main)
    cells = {column.heading: [column.cell(name, result) for name, result in contenders] for column in columns}
    shown = {heading: found for heading, found in cells.items() if any(found)}
    head = "".join(f'<th scope="col">{text(say(heading))}</th>' for heading in ("agent", *shown))
    rows = "".join(
        _row(name, result, pens[name], [found[place] for found in shown.values()])
        for place, (name, result) in enumerate(contenders)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}"><table class="contenders">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(name: str, result: Result, pen: Pen, cells: Sequence[str | None]) -> str:
    seeds = f"<small>{result.seeds} seeds</small>" if result.seeds > 1 else ""
    swatch = f'<span class="swatch" style="border-color: var(--series-{pen.place})" aria-hidden="true"></span>'
    kind = ' class="trained"' if result.trained else ""
    others = "".join(f"<td>{cell or _UNKNOWN}</td>" for cell in cells)
    return f'<tr{kind}><th scope="row">{swatch}{text(name)}{seeds}</th>{others}</tr>'


def _compared(main: Evaluation, name: str) -> PairedComparison | None:
    """The reference compared with a contender; None for itself."""
    return main.compare(main.reference, name) if name != main.reference else None


def _estimate(estimate: Estimate | None, *, signed: bool = False) -> str | None:
    if estimate is None:
        return None
    return f"{bounded(estimate, signed=signed).split(' [')[0]}<small>{ends(estimate)}</small>"


def _difference(comparison: PairedComparison | None) -> str | None:
    if comparison is None:
        return None
    difference = comparison.reversed().difference
    value = number(difference.value, signed=True)
    return f'<span class="{comparison.outcome}">{value}</span><small>{ends(difference)}</small>'


def _chance(comparison: PairedComparison | None) -> str | None:
    return None if comparison is None else _estimate(comparison.reversed().probability_of_improvement)


def _share(fraction: float | None) -> str | None:
    return None if fraction is None else percent(fraction, 1)


def _lift(comparison: PairedComparison | None) -> str | None:
    if comparison is None or comparison.lift is None:
        return None
    value, low, high = (None if x is None else 100 * x for x in dataclasses.astuple(comparison.lift))
    lift = Estimate(value=value, low=low, high=high)
    return f"{bounded(lift, signed=True).split(' [')[0]} %<small>{ends(lift)}</small>"


def _steps(estimate: Estimate | None) -> str | None:
    if estimate is None:
        return None
    value, low, high = ("never" if x is None else f"{x:.0f}" for x in (estimate.value, estimate.low, estimate.high))
    interval = "" if low == high == value else f"<small>[{low}, {high}]</small>"
    return f"{value}{interval}"


def _times(microseconds: Mapping[str, float]) -> str | None:
    if not microseconds:
        return None
    return f"{microseconds['median']:,.0f}<small>99 %: {microseconds['percentile_99']:,.0f}</small>"
