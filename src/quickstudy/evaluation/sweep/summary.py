"""A sweep in words: the best settings, which settings matter, and what limits both."""

import json
from typing import Any

from quickstudy.evaluation.numbers import MINUS, bounded, counted, listed, number, percent
from quickstudy.evaluation.sweep.effects import Effects, SettingEffect
from quickstudy.evaluation.sweep.records import Sweep, Trial, Winner, best_first, same_tasks
from quickstudy.numerics.seed_differences import mean_difference

SELECTION = (
    "These seeds and tasks chose the best settings, so the return on validation tasks is too high for them. Train again with "
    "other seeds, and measure that agent on the test split."
)


def setting_value(value: Any) -> str:
    """A value of a setting for people: three digits of a number with a fraction."""
    if isinstance(value, float):
        return f"{value:.3g}".replace("-", MINUS) if not value.is_integer() or abs(value) >= 1e6 else f"{value:.0f}"
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def settings_in_words(settings: Any) -> str:
    """Settings on one line: `learning_rate 0.00353, cell gru`."""
    return ", ".join(f"{name} {setting_value(value)}" for name, value in settings.items())


def trial_return(trial: Trial) -> str:
    """The return of a trial: the mean, and the range over seeds where there are several."""
    if not trial.returns:
        return "–"
    if len(trial.returns) == 1:
        return number(trial.value)
    return f"{number(trial.value)} ({number(min(trial.returns))} to {number(max(trial.returns))})"


def sweep_sentences(sweep: Sweep, effects: Effects) -> list[str]:
    """What the page of a sweep says first, and the terminal at the end."""
    told = [sentence for winner in sweep.winners for sentence in _winner_sentences(sweep, winner)]
    return [*told, *effect_sentences(effects), *notes(sweep, effects)]


def effect_sentences(effects: Effects) -> list[str]:
    """One sentence for every setting with an effect, and one for all without."""
    if not effects.settings:
        return [
            f"Nothing can be said about single settings: {counted(effects.trials, 'trial')} were measured, and at least "
            f"{effects.trials_needed} are needed, with settings that vary independently."
        ]
    told = [_effect_sentence(name, one) for name, one in effects.settings.items() if one.matters]
    rest = [name for name, one in effects.settings.items() if not one.matters]
    if rest:
        told.append(f"No significant effect was found of {listed(rest)}.")
    shares = f"All settings together explain {percent(effects.explained)} of the variance between trials."
    if effects.share_of_seeds is not None:
        shares += f" Seeds account for {percent(effects.share_of_seeds)} of it."
    return [*told, shares]


def notes(sweep: Sweep, effects: Effects) -> list[str]:
    """What limits the results of a sweep."""
    told = []
    of_tasks = sweep.names_of("distribution")
    if of_tasks:
        what, its = ("is a setting", "Its") if len(of_tasks) == 1 else ("are settings", "Their")
        told.append(
            f"{listed(of_tasks)} {what} of the tasks. {its} effects are differences between tasks, and each set of tasks has "
            "its own best settings."
        )
    if sweep.sampler == "tpe" and effects.settings:
        told.append(
            "TPE chose later trials by the returns of earlier ones, so intervals and p values are only approximate. Trials of "
            "--sampler random are independent of each other."
        )
    if sweep.failed:
        first = sweep.failed[0]
        told.append(
            f"{counted(len(sweep.failed), 'trial')} failed and {'is' if len(sweep.failed) == 1 else 'are'} left out of the "
            f"effects. Trial {first.number}: {first.fault}"
        )
        told += _always_failed(sweep)
    if sweep.winners:
        told.append(SELECTION)
    return told


def _always_failed(sweep: Sweep) -> list[str]:
    """One sentence for every value with which two trials or more failed and none was measured."""
    told = []
    for name, one in sweep.over.items():
        for value in one.values:
            failed = [trial for trial in sweep.failed if trial.settings[name] == value]
            if len(failed) > 1 and not any(trial.settings[name] == value for trial in sweep.measured):
                told.append(f"All {len(failed)} trials with {name} {setting_value(value)} failed.")
    return told


def difference_from_best(trial: Trial, best: Trial) -> str:
    """The return of a trial minus that of the best one, with the interval of Welch's t test over seeds."""
    if trial.number == best.number:
        return "best"
    if not trial.returns:
        return "–"
    found = mean_difference(trial.returns, best.returns)  # type: ignore[arg-type]
    return number(trial.value - best.value, signed=True) if found is None else bounded(found, signed=True)


def _winner_sentences(sweep: Sweep, winner: Winner) -> list[str]:
    trials = {trial.number: trial for trial in sweep.results}
    best = trials[winner.trial]
    group = next(one for one in same_tasks(sweep) if one[0].number == best.number)
    where = f" on tasks with {settings_in_words(winner.tasks)}" if winner.tasks else ""
    told = [
        f"Trial {best.number} is the best of {len(group)}{where}: {settings_in_words(best.settings)}. Its return on "
        f"{sweep.validation_tasks:,} validation tasks is {trial_return(best)}."
    ]
    near = [one.number for one in best_first(group)[1:] if not _is_lower(one, best)]
    if near:
        told.append(
            f"{counted(len(near), 'other trial')} {'has' if len(near) == 1 else 'have'} no significantly lower return: "
            f"{listed([str(one) for one in near[:5]])}{' and more' if len(near) > 5 else ''}."
        )
    if winner.test_return is not None:
        told.append(
            f"On {winner.test_tasks:,} fresh tasks of the test split, the agent of trial {best.number} has a return of "
            f"{bounded(winner.test_return)}."
        )
    return told


def _is_lower(trial: Trial, best: Trial) -> bool:
    """Whether a trial is significantly below the best one, over seeds; one seed tells nothing."""
    found = mean_difference(trial.returns, best.returns)  # type: ignore[arg-type]
    return found is not None and found.high is not None and found.high < 0


def _effect_sentence(name: str, one: SettingEffect) -> str:
    return (
        f"{name} matters: the mean return is {number(max(e.value for e in one.curve if e.value is not None))} at "
        f"{setting_value(one.best)} and {number(min(e.value for e in one.curve if e.value is not None))} at "
        f"{setting_value(one.worst)}, a difference of {bounded(one.difference)} (p {p_value(one.p_value)})."
    )


def p_value(value: float) -> str:
    """A p value: `0.03`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"
