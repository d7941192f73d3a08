"""A sweep that was asked for, checked before anything is trained: names, values, ranges, and the number of trials."""

import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from quickstudy import algorithms, tasks
from quickstudy.evaluation.sweep.records import Sweep, SweepConfig
from quickstudy.evaluation.sweep.samplers import trial_count
from quickstudy.evaluation.sweep.space import PARTS, Part, as_stored, read_over, swept_setting
from quickstudy.evaluation.sweep.tpe import check_optuna
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.registry import config_class, resolve, settings_of
from quickstudy.protocol.settings import flat_annotations, plain_settings, with_settings
from quickstudy.training.lifetime_source import affordable_tasks
from quickstudy.training.loop import TrainingConfig

_MOST_STEPS = {"jax": 2**19, "python": 2**15}
_LEAST_TASKS = {"jax": 32, "python": 16}


def plan_sweep(
    algorithm: str,
    distribution: str,
    over: Mapping[str, Any] | Iterable[str],
    config: SweepConfig,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    command: str,
) -> Sweep:
    """The sweep that is asked for, without a trial yet.

    Args:
      algorithm: its name.
      distribution: name of the task distribution.
      over: values or a range by the name of a setting, or texts as on the command line.
      config: how trials are chosen and measured.
      settings: of training, algorithm and distribution that are not the default, by part and name.
      command: that asks for the sweep.
    Raises:
      UnknownNameError: no such algorithm, distribution or setting.
      MissingExtraError: TPE is asked for, and Optuna is not installed.
      UsageError: a value that a setting cannot have, or another number of trials than possible.
    """
    fixed = all_settings(algorithm, distribution, settings)
    kinds = _kinds(algorithm, distribution)
    if isinstance(over, Mapping):
        varied = {name: swept_setting(name, one, kinds) for name, one in over.items()}
    else:
        varied = read_over(over, kinds)
    if not varied:
        raise UsageError("a sweep needs a setting to vary; came none.")
    trials = trial_count(varied, config.sampler, config.trials)
    if config.sampler == "tpe":
        check_optuna()
    made = make_distribution(distribution, fixed["distribution"])
    asked = Sweep(
        algorithm=algorithm,
        distribution=distribution,
        over=varied,
        settings=fixed,
        sampler=config.sampler,
        sampler_seed=config.sampler_seed,
        trials=trials,
        validation_tasks=measured_task_count(config.validation_tasks, made),
        command=command,
    )
    _check_values(asked, made)
    return asked


def measured_task_count(asked: int, distribution: AnyDistribution) -> int:
    """The number of tasks to measure on: as asked for, and fewer where lifetimes are long, as during training."""
    where = distribution.runs_in
    return affordable_tasks(asked, distribution.spec, most_steps=_MOST_STEPS[where], least=_LEAST_TASKS[where])


def all_settings(
    algorithm: str, distribution: str, given: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """All settings of a training by part, in their stored form.

    A setting of the tasks that has no default is there only if it is given.

    Args:
      algorithm: its name.
      distribution: name of the task distribution.
      given: settings that are not the default, by part and name.
    Raises:
      UnknownNameError: no such algorithm, distribution or setting.
      UsageError: no such part, or a value that a setting cannot have.
    """
    for part in given:
        if part not in PARTS:
            raise UsageError(f"settings belong to {', '.join(PARTS)}; came {part!r}.")
    config = config_class(algorithms.factory_of(algorithm))()
    factory = resolve("task distribution", distribution, tasks.DISTRIBUTIONS)
    of_tasks = {name: one.default for name, one in settings_of(factory).items() if one.default is not inspect.Parameter.empty}
    whole = {
        "training": plain_settings(training_config(given.get("training", {}))),
        "algorithm": plain_settings(with_settings(config, given.get("algorithm", {}), of=algorithm)),
        "distribution": {**of_tasks, **given.get("distribution", {})},
    }
    return {part: {name: as_stored(name, value) for name, value in one.items()} for part, one in whole.items()}


def make_distribution(name: str, settings: Mapping[str, Any]) -> AnyDistribution:
    """The task distribution with settings in their stored form."""
    return tasks.make(name, **settings)


def make_algorithm(name: str, distribution: AnyDistribution, settings: Mapping[str, Any]) -> MetaAlgorithm:
    """The algorithm for the tasks of a distribution, with settings in their stored form."""
    kind = config_class(algorithms.factory_of(name))
    return algorithms.make(name, distribution.spec, with_settings(kind(), settings, of=name))


def training_config(settings: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a training from settings in their stored form."""
    return with_settings(TrainingConfig(), settings, of="training")


def _kinds(algorithm: str, distribution: str) -> dict[Part, dict[str, Any]]:
    """The annotations of all settings that can be varied."""
    factory = resolve("task distribution", distribution, tasks.DISTRIBUTIONS)
    return {
        "training": flat_annotations(TrainingConfig()),
        "algorithm": flat_annotations(config_class(algorithms.factory_of(algorithm))()),
        "distribution": {name: one.annotation for name, one in settings_of(factory).items()},
    }


def _check_values(asked: Sweep, distribution: AnyDistribution) -> None:
    """Raises UsageError for the first value of a setting that cannot be, with all other settings as they are fixed."""
    make_algorithm(asked.algorithm, distribution, asked.settings["algorithm"])
    for name, one in asked.over.items():
        for value in one.values or one.ends:
            settings = {**asked.settings[one.part], name: int(value) if one.whole else value}
            if one.part == "training":
                training_config(settings)
            elif one.part == "algorithm":
                make_algorithm(asked.algorithm, distribution, settings)
            else:
                make_distribution(asked.distribution, settings)
