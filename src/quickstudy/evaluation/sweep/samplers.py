"""How a sweep chooses settings: every combination, or independent draws. Both know all trials before the first one."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from quickstudy.evaluation.sweep.records import Sampler, Trial
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.protocol.errors import UsageError

USUAL_TRIALS = 20
MOST_TRIALS = 10_000


class TrialSource(Protocol):
    """Gives the settings of one trial after the other."""

    def settings(self, number: int) -> Mapping[str, Any]:
        """The settings of a trial; asked once for each number, from 1."""

    def note(self, trial: Trial) -> None:
        """Takes note of a trial that has ended, also in an earlier process."""


class PlannedTrials:
    """Trials that were all chosen before the first one.

    Args:
      planned: the settings of each trial.
    """

    def __init__(self, planned: Sequence[Mapping[str, Any]]):
        self._planned = planned

    def settings(self, number: int) -> Mapping[str, Any]:  # noqa: D102
        return self._planned[number - 1]

    def note(self, trial: Trial) -> None:  # noqa: D102
        del trial


def _combinations(over: Mapping[str, SweptSetting]) -> int | None:
    """How many combinations of values there are; None where a setting has a range of numbers that are not whole."""
    if any(one.is_range and not one.whole for one in over.values()):
        return None
    return math.prod(len(one.values) or int(one.ends[1]) - int(one.ends[0]) + 1 for one in over.values())


def trial_count(over: Mapping[str, SweptSetting], sampler: Sampler, asked: int | None) -> int:
    """The number of trials of a sweep.

    Args:
      over: the settings that are varied.
      sampler: that chooses the trials.
      asked: the number that was asked for, if any.
    Raises:
      UsageError: a grid over a range, another number than that of the combinations of a grid, or too many trials.
    """
    count = _combinations(over)
    if sampler == "grid":
        ranges = [name for name, one in over.items() if one.is_range]
        if count is None or ranges:
            raise UsageError(
                f"a grid needs values, and {ranges[0]} has a range. Name the number of its points, as in "
                f"{ranges[0]}=LOW:HIGH:log:5, or use --sampler random."
            )
        if asked not in (None, count):
            raise UsageError(
                f"the grid has {count:,} combinations; came --trials {asked}. Leave --trials out, or use --sampler random."
            )
        found = count
    else:
        found = asked or (USUAL_TRIALS if count is None or sampler == "tpe" else min(USUAL_TRIALS, count))
        if sampler == "random" and count is not None and found > count:
            raise UsageError(
                f"there are only {count:,} combinations; came --trials {found}. Use --sampler grid, which tries all of them."
            )
    if found > MOST_TRIALS:
        raise UsageError(f"a sweep has at most {MOST_TRIALS:,} trials; this one has {found:,}. Vary less, or give --trials.")
    return found


def grid(over: Mapping[str, SweptSetting]) -> list[dict[str, Any]]:
    """Every combination, the last setting varying fastest.

    Args:
      over: settings with values.
    """
    return [dict(zip(over, values, strict=True)) for values in itertools.product(*(one.values for one in over.values()))]


def random_trials(over: Mapping[str, SweptSetting], trials: int, *, seed: int) -> list[dict[str, Any]]:
    """Independent draws of every setting. A longer list begins with a shorter one of the same seed.

    Args:
      over: the settings that are varied.
      trials: how many; at most as many as there are combinations, because none comes twice.
      seed: of the draws.
    """
    found: dict[str, dict[str, Any]] = {}
    for settings in _draws(over, np.random.default_rng(seed)):
        found.setdefault(json.dumps(settings), settings)
        if len(found) == trials:
            return list(found.values())
    raise AssertionError("draws never end")


def _draws(over: Mapping[str, SweptSetting], generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    while True:
        yield {name: one.at(float(place)) for (name, one), place in zip(over.items(), generator.random(len(over)), strict=True)}
