"""What each setting of a sweep changes: the additive model of `numerics.main_effects`, fitted to the measured trials.

A trial is one observation: the mean over its seeds. A list of values enters the model level by level. A range enters as a curve
of the second degree over its place in the range, or as a line where trials are few.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.evaluation.sweep.records import Sweep, Trial
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.numerics.main_effects import holm, main_effects
from quickstudy.numerics.statistics import Estimate

LEVEL = 0.05
"""Adjusted p values below it count as an effect."""
_CURVE_POINTS = 25
_TRIALS_OF_A_COLUMN = 2.5
"""Trials for each column of the model, from which on ranges enter as curves."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingEffect:
    """What one setting changes in the return, with all others as they were in the trials.

    Args:
      values: at which the curve is known: the values that were tried, or points of the range.
      curve: the mean return at each of them, in reward units, with its 95 % interval.
      best: the value with the largest mean.
      worst: the value with the smallest mean.
      difference: the mean at the best minus that at the worst, in reward units; its interval holds for every pair of values.
      p_value: that the setting has no effect, adjusted for the number of settings.
      share: of the variance between trials that the setting explains.
    """

    values: tuple[Any, ...]
    curve: tuple[Estimate, ...]
    best: Any
    worst: Any
    difference: Estimate
    p_value: float
    share: float

    @property
    def matters(self) -> bool:
        """Whether an effect was found."""
        return self.p_value < LEVEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effects:
    """The effects of all settings of a sweep.

    Args:
      settings: by name, the one that explains most first; empty where nothing can be said.
      explained: share of the variance between trials that all settings together explain.
      share_of_seeds: share of the variance between trials that comes from their seeds; None with one seed.
      trials: the number of trials that were measured.
      trials_needed: the least number of trials from which effects can be estimated.
    """

    settings: Mapping[str, SettingEffect]
    explained: float
    share_of_seeds: float | None
    trials: int
    trials_needed: int


def effects_of(sweep: Sweep) -> Effects:
    """The effects of all varied settings on the return on validation tasks."""
    trials = sweep.measured
    returns = np.asarray([trial.value for trial in trials], float)
    varied = {name: one for name, one in sweep.over.items() if len({_key(trial.settings[name]) for trial in trials}) > 1}
    degree = 2
    if sum(_columns(name, one, trials, 2).shape[1] for name, one in varied.items()) * _TRIALS_OF_A_COLUMN > len(trials):
        degree = 1
    columns = {name: _columns(name, one, trials, degree) for name, one in varied.items()}
    points = {name: _values(name, one, trials) for name, one in varied.items()}
    at = {name: _columns(name, one, trials, degree, at=points[name]) for name, one in varied.items()}
    needed = sum(one.shape[1] for one in columns.values()) + 2
    fit = main_effects(columns, at, returns) if varied and len(trials) >= needed else None
    found: dict[str, SettingEffect] = {}
    if fit is not None:
        adjusted = holm([one.p_value for one in fit.effects.values()])
        for (name, one), p_value in zip(fit.effects.items(), adjusted, strict=True):
            found[name] = SettingEffect(
                values=tuple(points[name]),
                curve=one.curve,
                best=points[name][one.best],
                worst=points[name][one.worst],
                difference=one.difference,
                p_value=p_value,
                share=one.share,
            )
    return Effects(
        settings=dict(sorted(found.items(), key=lambda item: (-item[1].share, item[1].p_value))),
        explained=0.0 if fit is None else fit.explained,
        share_of_seeds=_share_of_seeds(trials, returns),
        trials=len(trials),
        trials_needed=needed,
    )


def _columns(
    name: str, one: SweptSetting, trials: Sequence[Trial], degree: int, *, at: Sequence[Any] | None = None
) -> Float[np.ndarray, "values columns"]:
    """The columns of a setting in the model, for its value in each trial, or for other values."""
    values = [trial.settings[name] for trial in trials] if at is None else at
    if one.is_range:
        place = np.asarray([2 * one.place(value) - 1 for value in values])
        return np.stack([place**power for power in range(1, degree + 1)], axis=1)
    levels = _values(name, one, trials)[1:]
    return np.asarray([[_key(value) == _key(level) for level in levels] for value in values], float)


def _values(name: str, one: SweptSetting, trials: Sequence[Trial]) -> list[Any]:
    """The values at which a curve is wanted: those that were tried, or points between the outermost ones of a range."""
    tried = {_key(trial.settings[name]): trial.settings[name] for trial in trials}
    if not one.is_range:
        return [value for value in one.values if _key(value) in tried]
    low, high = one.place(min(tried.values())), one.place(max(tried.values()))
    return [one.number(place, *one.ends) for place in np.linspace(low, high, _CURVE_POINTS).tolist()]


def _share_of_seeds(trials: Sequence[Trial], returns: Float[np.ndarray, " trials"]) -> float | None:
    """The part of the variance between trials that would be there if all trials had the same settings."""
    if len(trials) < 2 or any(len(trial.returns) < 2 for trial in trials):
        return None
    between = float(returns.var(ddof=1))
    within = float(np.mean([np.var(trial.returns, ddof=1) / len(trial.returns) for trial in trials]))
    return min(1.0, within / between) if between > 0 else None


def _key(value: Any) -> str:
    return json.dumps(value)
