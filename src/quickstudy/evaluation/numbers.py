"""Numbers as text. Every table, sentence, chart and panel takes its numbers from here, so that one number reads the same.

A minus is `−`, a part of a hundred is `75 %`, an interval is `77.62 [77.10, 78.13]`. None stands for *never*, as in
`numerics.statistics`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.numerics.statistics import CensoredEstimate, Estimate

MINUS = "−"
NOT_KNOWN = "–"
"""A cell that has no value."""

_SHOWN_NUMBERS = 6


def number(value: float | None, digits: int | None = None, *, signed: bool = False) -> str:
    """A number with as many decimals as help: 407.7, 77.62, 0.853; *never* for None.

    Args:
      value: to write.
      digits: after the point; else by the size of the number.
      signed: write the plus, too.
    """
    if value is None:
        return "never"
    if digits is None:
        digits = _decimals(abs(value))
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def bounded(estimate: Estimate, *, signed: bool = False) -> str:
    """A value with its interval, all with the decimals of the largest: `77.62 [77.10, 78.13]`."""
    return f"{number(estimate.value, _decimals_of(estimate), signed=signed)} {ends(estimate)}"


def ends(estimate: Estimate) -> str:
    """The interval of an estimate: `[77.10, 78.13]`."""
    digits = _decimals_of(estimate)
    return f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def percent(fraction: float, digits: int = 0) -> str:
    """A fraction in parts of a hundred: 0.75 is `75 %`."""
    return f"{100 * fraction:.{digits}f} %".replace("-", MINUS)


def bounded_percent(estimate: Estimate) -> str:
    """A fraction with its interval in parts of a hundred: `75.0 % [70.1, 79.9]`."""
    value, low, high = (None if x is None else 100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{number(value, 1)} % [{number(low, 1)}, {number(high, 1)}]"


def censored_number(estimate: CensoredEstimate) -> str:
    """A number as far as censoring leaves it known: `12`, `> 500`, `< 0.5`, `2 to 3`, `never` or `unknown`."""
    least, most = estimate.at_least, estimate.at_most
    if least is None:
        return "never"
    if most is None:
        return f"> {_two_digits(least)}" if least > 0 else "unknown"
    if _two_digits(least) == _two_digits(most):
        return _two_digits(least)
    return f"{_two_digits(least)} to {_two_digits(most)}" if least > 0 else f"< {_two_digits(most)}"


def censored_bounded(estimate: CensoredEstimate) -> str:
    """A number as far as it is known, with its interval: `> 500 [120, ∞]`. Where nothing is known, only the word."""
    if estimate.at_least is None and estimate.low is None:
        return "never"
    if censored_number(estimate) == "unknown" and not estimate.low and estimate.high is None:
        return "unknown"
    low, high = ("∞" if end is None else _two_digits(end) for end in (estimate.low, estimate.high))
    return f"{censored_number(estimate)} [{low}, {high}]"


def count(value: float) -> str:
    """A count in full: 1,240; with two digits where it is below ten and not whole: 3.5."""
    return _two_digits(value)


def short_count(value: float) -> str:
    """A large count in three digits: `1.24 M`, `15.3 k`, `250`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def tick(value: float) -> str:
    """A count on the axis of a chart: 400, 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"


def counted(amount: int, noun: str) -> str:
    """A count with its noun: `1 seed`, `5 seeds`."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


def byte_size(size: int) -> str:
    """Bytes: `512 B`, `1.5 KiB`, `2.0 MiB`."""
    if size < 1024:
        return f"{size} B"
    if size < 2**20:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    """A wall-clock time: `45 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def clock(seconds: float) -> str:
    """A time that runs: `3:05 min`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def over_seeds(values: Sequence[float]) -> str:
    """The mean over training seeds, with the least and the largest where there are several: `77.62 (76.10 to 78.40)`."""
    mean = sum(values) / len(values)
    return f"{mean:.2f}" if len(values) == 1 else f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})"


def named_values(values: Mapping[str, Any]) -> str:
    """Named numbers, arrays and words on one line: `speed: −1.23; level: 7; mass: 0 1 2 3 4 5 …`.

    Args:
      values: by name; of a large array only the first numbers are written.
    """
    return "; ".join(f"{name}: {_first_values(value)}" for name, value in values.items())


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _first_values(value: Any) -> str:
    whole = np.asarray(value)
    if not whole.ndim:
        if whole.dtype.kind not in "iuf":  # a word keeps its hyphens
            return str(whole)
        return (f"{whole:.3g}" if whole.dtype.kind == "f" else str(whole)).replace("-", MINUS)
    shown = [_first_values(one) for one in whole.ravel()[:_SHOWN_NUMBERS]]
    return " ".join([*shown, "…"] if whole.size > _SHOWN_NUMBERS else shown)


def _decimals(size: float) -> int:
    return 1 if size >= 100 else 2 if size >= 1 else 3


def _decimals_of(estimate: Estimate) -> int:
    return _decimals(max((abs(x) for x in (estimate.value, estimate.low, estimate.high) if x is not None), default=0.0))


def _two_digits(value: float) -> str:
    """Two digits below ten, whole numbers above: 0.53, 3.5, 1,240."""
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2g}"
