"""A sweep from its first trial to the best settings.

Trials are trained one after the other in this process, each with its seeds side by side. Every trial is measured on the same
validation tasks with the same keys. These tasks come from the train split, from a key of their own: training draws others, and
the test split stays unseen until the best settings are known.
"""

import dataclasses
import gc
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from quickstudy import algorithms
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import draw_tasks, evaluate, returns_on
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.evaluation.sweep.command import train_command
from quickstudy.evaluation.sweep.plan import (
    make_algorithm,
    make_distribution,
    measured_task_count,
    plan_sweep,
    training_config,
)
from quickstudy.evaluation.sweep.records import Sweep, SweepConfig, Trial, Winner, same_tasks
from quickstudy.evaluation.sweep.samplers import PlannedTrials, TrialSource, grid, random_trials
from quickstudy.evaluation.sweep.storage import SweepFolder, trial_folder
from quickstudy.evaluation.sweep.tpe import TpeTrials
from quickstudy.protocol.errors import CollectingError, NonFiniteError, TaskDistributionError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.reading import is_file
from quickstudy.storage.whole_folders import remove_at_once
from quickstudy.training.loop import Run, TrainingConfig
from quickstudy.training.progress import Progress
from quickstudy.training.train_and_save import SilentWatcher, train_and_save

_log = logging.getLogger("quickstudy")
_VALIDATION_SEED = 30_000_317
"""Of the validation tasks and the keys of their lifetimes; far from the seeds that people give to evaluations."""
_TEST_SEED = 0
_FAULTS = (UsageError, NonFiniteError, TaskDistributionError, CollectingError)
"""Errors of a training that its settings may have caused. A full disk is none of them."""


class SweepWatcher(Protocol):
    """Shows a sweep to people. It computes nothing."""

    def begin(self, sweep: Sweep, trial: Trial) -> None:
        """Called before a trial is trained."""

    def watch(self, progress: Progress) -> None:
        """Called after every update of a training."""

    def end(self, sweep: Sweep, trial: Trial) -> None:
        """Called when a trial was measured or has failed; the sweep holds it."""

    def measure(self, winner: Winner) -> None:
        """Called before the best settings are measured on tasks of the test split."""


class SilentSweepWatcher:
    """Shows nothing."""

    def begin(self, sweep: Sweep, trial: Trial) -> None:
        """Shows nothing."""

    def watch(self, progress: Progress) -> None:
        """Shows nothing."""

    def end(self, sweep: Sweep, trial: Trial) -> None:
        """Shows nothing."""

    def measure(self, winner: Winner) -> None:
        """Shows nothing."""


def sweep(
    algorithm: str,
    distribution: str,
    over: Mapping[str, Any] | Iterable[str],
    config: SweepConfig = SweepConfig(),
    *,
    folder: str | Path,
    training: TrainingConfig = TrainingConfig(),
    algorithm_settings: Mapping[str, Any] | None = None,
    distribution_settings: Mapping[str, Any] | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    watcher: SweepWatcher = SilentSweepWatcher(),
) -> Sweep:
    """Trains agents with many settings, and measures the best settings on tasks that nothing has seen.

    Args:
      algorithm: its name, or `path/to/file.py:function`.
      distribution: name of the task distribution, or `path/to/file.py:function`.
      over: by the name of a setting, a list of values or a range as text, such as `"1e-4:1e-2:log"`.
      config: how trials are chosen and measured.
      folder: where everything is written.
      training: budget and seeds of every trial.
      algorithm_settings: settings of the algorithm that all trials share.
      distribution_settings: settings of the distribution that all trials share.
      collecting: where lifetimes on tasks outside JAX are collected.
      resume: go on with the sweep in the folder, also with more trials. Trials that have ended are not trained again.
      overwrite: delete the sweep in the folder.
      command: that asks for the sweep, for its record.
      watcher: shows the sweep.
    Returns:
      The sweep; `finished` is False where it was interrupted.
    Raises:
      UsageError: something that cannot be, before anything is trained; or no trial could be trained.
      QuickstudyError: the disk is full, gone or read-only. The sweep can be resumed.
    """
    settings = {
        "training": dataclasses.asdict(training),
        "algorithm": algorithm_settings or {},
        "distribution": distribution_settings or {},
    }
    asked = plan_sweep(algorithm, distribution, over, config, settings=settings, command=command)
    home = SweepFolder(folder, resume=resume, overwrite=overwrite)
    try:
        begun = home.take_up(asked)
        return _Sweeping(home, begun, collecting, watcher).to_the_end(test_tasks=config.test_tasks)
    finally:
        home.close()


class _Sweeping:
    """A sweep under way: its record, its folder, and the tasks of the present trial."""

    def __init__(self, home: SweepFolder, begun: Sweep, collecting: CollectingConfig, watcher: SweepWatcher):
        self._home, self._sweep, self._collecting, self._watcher = home, begun, collecting, watcher
        self._tasks: tuple[Mapping[str, Any], AnyDistribution] | None = None

    def to_the_end(self, *, test_tasks: int) -> Sweep:
        """Carries out all trials that are left, then measures the best settings; stops in order after Ctrl-C."""
        self._home.save(self._sweep)
        if self._sweep.finished:
            return self._sweep
        source = self._source()
        ended = {one.number: one for one in self._sweep.results if one.state != "under way"}
        for trial in ended.values():
            source.note(trial)
        for number in range(1, self._sweep.trials + 1):
            if number in ended:
                continue
            begun = next((one for one in self._sweep.results if one.number == number), None)
            trial = begun or Trial(number=number, settings=source.settings(number))
            self._keep(trial)
            self._watcher.begin(self._sweep, trial)
            done = self._carried_out(trial)
            if done is None:
                return self._sweep
            self._keep(done)
            source.note(done)
            checkpoints = trial_folder(self._home.path, number) / "checkpoints"
            if checkpoints.is_dir():
                remove_at_once(checkpoints)
            self._watcher.end(self._sweep, done)
            gc.collect()  # programs of the trial
        if not self._sweep.measured:
            first = self._sweep.failed[0]
            raise UsageError(f"no trial could be trained. Trial {first.number} failed: {first.fault}")
        self._sweep = dataclasses.replace(self._sweep, winners=tuple(self._winners(test_tasks)))
        self._home.save(self._sweep)
        return self._sweep

    def _source(self) -> TrialSource:
        one = self._sweep
        if one.sampler == "tpe":
            return TpeTrials(one.over, self._home.path, seed=one.sampler_seed)
        planned = grid(one.over) if one.sampler == "grid" else random_trials(one.over, one.trials, seed=one.sampler_seed)
        return PlannedTrials(planned)

    def _keep(self, trial: Trial) -> None:
        self._sweep = self._sweep.with_trial(trial)
        self._home.save(self._sweep)

    def _carried_out(self, trial: Trial) -> Trial | None:
        """The trial with its returns or with its fault; None where it was interrupted, and is saved."""
        settings = self._sweep.settings_of(trial)
        try:
            distribution = self._distribution(settings["distribution"])
            config = training_config(settings["training"])
            run = self._trained(trial, distribution, config, settings["algorithm"])
            if not run.finished:
                return None
            returns = self._validated(run, distribution)
        except _FAULTS as error:
            return dataclasses.replace(trial, state="failed", fault=str(error).splitlines()[0])
        return dataclasses.replace(trial, state="finished", returns=returns, steps=run.steps, seconds=round(run.seconds, 2))

    def _distribution(self, settings: Mapping[str, Any]) -> AnyDistribution:
        """The tasks of a trial, made again only where their settings are others."""
        if self._tasks is None or self._tasks[0] != settings:
            self._tasks = (settings, make_distribution(self._sweep.distribution, settings))
        return self._tasks[1]

    def _trained(self, trial: Trial, distribution: AnyDistribution, config: TrainingConfig, settings: Mapping[str, Any]) -> Run:
        folder = trial_folder(self._home.path, trial.number)
        return train_and_save(
            make_algorithm(self._sweep.algorithm, distribution, settings),
            distribution,
            config,
            folder=folder,
            resume=is_file(folder / "run.json") or (folder / "checkpoints").is_dir(),
            command=train_command(self._sweep, trial, folder=str(folder)),
            collecting=self._collecting,
            measure_baselines=False,
            watcher=_Updates(self._watcher),
        )

    def _validated(self, run: Run, distribution: AnyDistribution) -> tuple[float, ...]:
        """Mean lifetime return of every seed on the validation tasks."""
        tasks, seeds = self._sweep.validation_tasks, run.config.seeds
        check_tasks(distribution, tasks, seed=_VALIDATION_SEED, seeds=[seeds], steps=distribution.spec.lifetime_steps)
        drawn, keys = draw_tasks(distribution, split="train", tasks=tasks, seed=_VALIDATION_SEED)
        agent = Contender(agent=run.algorithm.agent, params=run.params, trained=True)
        returns = returns_on(agent, distribution, drawn, keys, self._collecting)
        return tuple(float(value) for value in returns.mean(1))

    def _winners(self, test_tasks: int) -> Sequence[Winner]:
        """The best trial on each set of tasks, measured on its test split."""
        found = []
        for group in same_tasks(self._sweep):
            best = group[0]
            winner = Winner(
                trial=best.number,
                tasks=self._sweep.tasks_of(best),
                command=train_command(self._sweep, best, other_seeds=True),
            )
            found.append(self._tested(winner, best, test_tasks) if test_tasks else winner)
        return found

    def _tested(self, winner: Winner, trial: Trial, test_tasks: int) -> Winner:
        self._watcher.measure(winner)
        distribution = self._distribution(self._sweep.settings_of(trial)["distribution"])
        own = None if self._sweep.algorithm in algorithms.ALGORITHMS else self._sweep.algorithm
        bundle = load_bundle(trial_folder(self._home.path, trial.number), algorithm=own)
        agent = Contender(agent=bundle.agent_for(distribution.spec), params=bundle.params, trained=True)
        tasks = measured_task_count(test_tasks, distribution)
        measured = evaluate(
            {"best settings": agent}, distribution, split="test", tasks=tasks, seed=_TEST_SEED, collecting=self._collecting
        )
        return dataclasses.replace(
            winner,
            test_return=measured.results["best settings"].lifetime_return,
            test_tasks=tasks,
            task_hash=measured.task_hash,
        )


class _Updates(SilentWatcher):
    """Passes the updates of a training to the watcher of the sweep."""

    def __init__(self, watcher: SweepWatcher):
        self._watcher = watcher

    def watch(self, progress: Progress) -> None:
        """Shows the state of the run."""
        self._watcher.watch(progress)
