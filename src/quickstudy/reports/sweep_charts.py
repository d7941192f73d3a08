"""Charts of a sweep: the return of every trial against each setting, with the mean curve of the setting."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from quickstudy.evaluation.sweep.effects import Effects, SettingEffect
from quickstudy.evaluation.sweep.records import Sweep, Trial
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.evaluation.sweep.summary import p_value, setting_value
from quickstudy.protocol.printable import file_word
from quickstudy.reports import canvas
from quickstudy.reports.canvas import LIGHT, MUTED, Picture

_TRIALS, _CURVE = MUTED, LIGHT[0]


def setting_pictures(sweep: Sweep, effects: Effects) -> list[Picture]:
    """One chart for each varied setting; settings with the largest effect come first.

    Args:
      sweep: with measured trials.
      effects: of its settings.
    """
    names = [*effects.settings, *(name for name in sweep.over if name not in effects.settings)]
    return [_picture(sweep, name, sweep.over[name], effects.settings.get(name)) for name in names]


def _picture(sweep: Sweep, name: str, one: SweptSetting, effect: SettingEffect | None) -> Picture:
    trials = sweep.measured
    with canvas.style_context():
        figure, axes = canvas.canvas()
        if one.is_range:
            _draw_range(axes, name, one, trials, effect)
        else:
            _draw_values(axes, name, one.values, trials, effect)
        axes.set_xlabel(name)
        axes.set_ylabel("return on validation tasks")
        caption = ["Grey points are trials; lines reach from the lowest seed to the highest."]
        said = ""
        if effect is not None:
            caption.append("Blue: mean return of the additive model, with 95 % intervals.")
            means = zip(effect.values, effect.curve, strict=True)
            said = f" Mean return: {'; '.join(f'{setting_value(x)}: {y.value:.4g}' for x, y in list(means)[::6])}."
        title = name if effect is None else f"{name}: {'an effect' if effect.matters else 'no significant effect'}"
        return canvas.finish(
            figure,
            name=f"setting-{file_word(name)}",
            title=title if effect is None else f"{title} (p {p_value(effect.p_value)})",
            caption=" ".join(caption),
            alternative=f"Return on validation tasks of {len(trials)} trials against {name}.{said}",
        )


def _draw_range(axes: Axes, name: str, one: SweptSetting, trials: Sequence[Trial], effect: SettingEffect | None) -> None:
    """Points at the numbers of a range, with the curve of the model and its band."""
    if one.log:
        axes.set_xscale("log")
    for trial in trials:
        _draw_trial(axes, float(trial.settings[name]), trial)
    if effect is None:
        return
    at, low, mean, high = _band(effect)
    axes.fill_between(at, low, high, color=_CURVE, alpha=0.16, linewidth=0)
    axes.plot(at, mean, color=_CURVE, linewidth=2.2)


def _draw_values(axes: Axes, name: str, values: Sequence[Any], trials: Sequence[Trial], effect: SettingEffect | None) -> None:
    """Points above the values of a list, side by side, with the mean of each value and its interval."""
    places = {setting_value(value): place for place, value in enumerate(values)}
    for value, place in places.items():
        here = [trial for trial in trials if setting_value(trial.settings[name]) == value]
        for aside, trial in zip(np.linspace(-0.18, 0.02, len(here)) if len(here) > 1 else [-0.08], here, strict=False):
            _draw_trial(axes, place + float(aside), trial)
    if effect is not None:
        for value, mean in zip(effect.values, effect.curve, strict=True):
            at = places[setting_value(value)] + 0.2
            low, middle, high = (math.nan if x is None else x for x in (mean.low, mean.value, mean.high))
            axes.plot([at, at], [low, high], color=_CURVE, linewidth=2.2)
            axes.plot([at], [middle], "o", color=_CURVE, markersize=5.5, zorder=5)
    axes.set_xticks(list(places.values()), [canvas.short(value) for value in places])
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.grid(axis="x", visible=False)


def _draw_trial(axes: Axes, at: float, trial: Trial) -> None:
    axes.plot([at, at], [min(trial.returns), max(trial.returns)], color=_TRIALS, linewidth=0.8, alpha=0.6, zorder=2)
    axes.plot([at], [trial.value], "o", color=_TRIALS, markersize=3.6, zorder=3)


def _band(effect: SettingEffect) -> list[np.ndarray]:
    ends = [(one.low, one.value, one.high) for one in effect.curve]
    return [np.asarray(effect.values, float), *np.asarray(ends, float).T]
