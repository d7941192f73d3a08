"""The records of a sweep: what was asked for, its trials, and what came of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from quickstudy.evaluation.sweep.space import PARTS, Part, SweptSetting
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.setting_values import Count, Range, Seed
from quickstudy.protocol.settings import check_settings

Sampler = Literal["grid", "random", "tpe"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """How a sweep chooses its trials, and on how many tasks it measures them."""

    sampler: Sampler = "random"
    """Way to choose settings: every combination, independent draws, or Optuna's TPE, which learns from earlier trials."""
    trials: Count | None = None
    """Number of trials; 20 if not given, and every combination with --sampler grid."""
    sampler_seed: Seed = 0
    """Seed of the choice of settings."""
    validation_tasks: Count = 1000
    """Tasks of the train split that every trial is measured on; training draws its tasks with other random keys."""
    test_tasks: Annotated[int, Range(least=0)] = 1000
    """Tasks of the test split that the best settings are measured on at the end; 0 measures nothing there."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One choice of settings, and what its training gave.

    Args:
      number: of the trial, from 1.
      settings: the varied settings in their stored form, by name.
      state: `under way` until it was measured; `failed` where these settings cannot be trained.
      returns: mean lifetime return on the validation tasks of every seed, in reward units.
      steps: environment steps per seed of its training.
      seconds: of its training, compiling included.
      fault: why it failed, in one line.
    """

    number: int
    settings: Mapping[str, Any]
    state: Literal["under way", "finished", "failed"] = "under way"
    returns: tuple[float, ...] = ()
    steps: int | None = None
    seconds: float | None = None
    fault: str | None = None

    @property
    def value(self) -> float:
        """The mean over seeds; minus infinity where there is nothing."""
        return sum(self.returns) / len(self.returns) if self.returns else float("-inf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Winner:
    """The best settings on one distribution of tasks.

    Args:
      trial: its number.
      tasks: the varied settings of the distribution that it is the best for; empty where none is varied.
      command: that trains an agent with these settings and other seeds.
      test_return: lifetime return on tasks of the test split, in reward units; None where it was not measured.
      test_tasks: their number.
      task_hash: of these tasks.
    """

    trial: int
    tasks: Mapping[str, Any]
    command: str
    test_return: Estimate | None = None
    test_tasks: int = 0
    task_hash: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep, as far as it has come.

    Args:
      algorithm: its name.
      distribution: name of the task distribution.
      over: the settings that are varied.
      settings: all other settings of each part, in their stored form.
      sampler: that chose the trials.
      sampler_seed: of the choice.
      trials: the number of trials that were asked for.
      validation_tasks: the number of tasks that every trial is measured on.
      command: that asked for the sweep; empty from Python.
      results: the trials so far.
      winners: once all trials have ended.
    """

    algorithm: str
    distribution: str
    over: Mapping[str, SweptSetting]
    settings: Mapping[str, Mapping[str, Any]]
    sampler: Sampler
    sampler_seed: int
    trials: int
    validation_tasks: int
    command: str = ""
    results: tuple[Trial, ...] = ()
    winners: tuple[Winner, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and the best settings are known."""
        return bool(self.winners)

    @property
    def measured(self) -> list[Trial]:
        """The trials that were trained and measured."""
        return [one for one in self.results if one.state == "finished"]

    @property
    def failed(self) -> list[Trial]:
        """The trials whose settings could not be trained."""
        return [one for one in self.results if one.state == "failed"]

    def names_of(self, part: Part) -> list[str]:
        """The varied settings of a part."""
        return [name for name, one in self.over.items() if one.part == part]

    def tasks_of(self, trial: Trial) -> dict[str, Any]:
        """The varied settings of the distribution in a trial."""
        return {name: trial.settings[name] for name in self.names_of("distribution")}

    def settings_of(self, trial: Trial) -> dict[str, dict[str, Any]]:
        """All settings of a trial, by part."""
        return {part: {**self.settings[part], **{name: trial.settings[name] for name in self.names_of(part)}} for part in PARTS}

    def with_trial(self, trial: Trial) -> "Sweep":
        """The sweep in which a trial takes the place of the one of its number, or stands at the end."""
        others = [one for one in self.results if one.number != trial.number]
        return dataclasses.replace(self, results=tuple(sorted([*others, trial], key=lambda one: one.number)))


def same_tasks(sweep: Sweep) -> list[list[Trial]]:
    """The measured trials in groups that have the same tasks, each with its best trial first."""
    groups: dict[str, list[Trial]] = {}
    for trial in sweep.measured:
        groups.setdefault(repr(sweep.tasks_of(trial)), []).append(trial)
    return [best_first(group) for group in groups.values()]


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Trials by their mean return on the validation tasks; an earlier one first where two are equal."""
    return sorted(trials, key=lambda one: (-one.value, one.number))
