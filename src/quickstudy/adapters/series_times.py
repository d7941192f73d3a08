"""The times of a series of pandas: one step after another without a gap, or a message that names the gap.

The file is not part of `quickstudy.adapters`, since it imports pandas.
"""

from typing import Any

import pandas as pd

from quickstudy.protocol.errors import UsageError


def frequency_of(times: pd.Index) -> Any:
    """The step between dates; None of other times, which count their steps themselves.

    Raises:
      UsageError: dates without a frequency, as dates with a gap are.
    """
    if not isinstance(times, pd.DatetimeIndex):
        return None
    frequency = times.freq or (pd.infer_freq(times) if len(times) > 2 and times.is_unique else None)
    if frequency is None:
        raise UsageError(
            "the dates of y have no frequency: they are fewer than three, are not evenly spaced, or have a gap. Set one with "
            "y.asfreq(...), and fill the values that are missing then."
        )
    return frequency


def check_consecutive(times: pd.Index, frequency: Any) -> None:
    """Refuses times that do not follow each other step by step.

    Args:
      times: in order, at least one.
      frequency: as of `frequency_of`.
    Raises:
      UsageError: names the first time that is not the next one.
    """
    count, first = len(times), times[0]
    if isinstance(times, pd.PeriodIndex):
        expected: pd.Index = pd.period_range(first, periods=count, freq=times.freq)
    elif isinstance(times, pd.DatetimeIndex):
        expected = pd.date_range(first, periods=count, freq=frequency)
    else:
        expected = pd.RangeIndex(first, first + count)
    wrong = [place for place in range(count) if times[place] != expected[place]]
    if wrong:
        raise UsageError(
            f"the times of y have a gap or a repetition: after {times[wrong[0] - 1]} comes {times[wrong[0]]}, and not "
            f"{expected[wrong[0]]}. Give one value for each step, and fill those that are missing. Nothing was changed."
        )


def check_same_kind(times: pd.Index, known: pd.Index) -> None:
    """Refuses times of another kind than the known ones, such as dates after periods.

    Raises:
      UsageError: names both kinds.
    """
    came, before = (_kind(index) for index in (times, known))
    if came != before:
        raise UsageError(f"y has {came} as times, and the values before had {before}. Give the same kind of times.")


def _kind(times: pd.Index) -> str:
    if isinstance(times, pd.PeriodIndex):
        return f"periods ({times.freqstr})"
    return "dates" if isinstance(times, pd.DatetimeIndex) else "whole numbers"
