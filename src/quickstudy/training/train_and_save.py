"""Meta-training as an application: train, save the bundle, and measure the baselines after it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from quickstudy.protocol.errors import CollectingError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import save_bundle
from quickstudy.training.baseline_returns import BaselineReturns
from quickstudy.training.interrupts import finish_on_interrupt, skip_on_interrupt
from quickstudy.training.loop import Run, TrainingConfig, meta_train
from quickstudy.training.progress import Progress


class Watcher(Protocol):
    """Shows a run to people. It computes nothing."""

    def watch(self, progress: Progress) -> None:
        """Shows the state of the run; called after every update."""

    def show_baselines(self, returns: Mapping[str, float], *, missing: Sequence[str]) -> None:
        """Shows held-out returns of the baselines; called when there are new ones.

        Args:
          returns: by name, in reward units.
          missing: names of the baselines that are measured now; empty where nothing is measured.
        """


class SilentWatcher:
    """Shows nothing."""

    def watch(self, progress: Progress) -> None:
        """Shows nothing."""

    def show_baselines(self, returns: Mapping[str, float], *, missing: Sequence[str]) -> None:
        """Shows nothing."""


def train_and_save(
    algorithm: MetaAlgorithm,
    distribution: AnyDistribution,
    config: TrainingConfig = TrainingConfig(),
    *,
    folder: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    command: str | None = None,
    collecting: CollectingConfig = CollectingConfig(),
    measure_baselines: bool = True,
    watcher: Watcher = SilentWatcher(),
) -> Run:
    """Meta-trains an agent and saves it as `bundle` in the run folder if training came to its end.

    Training starts at once. Returns of the baselines that are in the cache are shown after the first update. The others are
    measured when the bundle is saved. All that are known are written to `baselines.json` of the run folder.

    Args:
      algorithm: made for this distribution's spec.
      distribution: of the tasks.
      config: budget, seeds, how often to evaluate and to save.
      folder: of the run.
      resume: go on from the folder's newest checkpoint.
      overwrite: start again in a folder that holds a run.
      command: the command that asked for the run, for its record.
      collecting: where lifetimes on tasks outside JAX are collected.
      measure_baselines: measure the returns that are not in the cache, after training. Ctrl-C leaves the rest of them out.
      watcher: shows the run.
    Raises:
      CollectingError, SpecError, UsageError, NonFiniteError: see `meta_train`.
    """
    baselines = BaselineReturns(distribution, tasks=config.held_out_tasks, collecting=collecting)
    loaded = False

    def watch(progress: Progress) -> None:
        nonlocal loaded
        watcher.watch(progress)
        if not loaded:  # the cache is keyed by the task list, which takes time to draw: not before the first update
            loaded = True
            baselines.load()
            watcher.show_baselines(baselines.returns, missing=())

    run = meta_train(
        algorithm, distribution, config, folder=folder, resume=resume, overwrite=overwrite, command=command,
        collecting=collecting, watch=watch,
    )  # fmt: skip
    if run.finished:
        with finish_on_interrupt() as interrupted:
            save_bundle(Path(folder) / "bundle", algorithm, run.params, distribution=distribution, command=command)
        if measure_baselines and not interrupted.is_set():
            _measure(baselines, watcher)
    baselines.save(folder)
    return run


def _measure(baselines: BaselineReturns, watcher: Watcher) -> None:
    """Measures the returns that are missing. The agent is trained and saved, so neither Ctrl-C nor a fault undoes anything."""
    if not baselines.missing:
        return
    with skip_on_interrupt(), suppress(CollectingError):
        watcher.show_baselines(baselines.returns, missing=baselines.missing)
        for _ in baselines.measure():
            watcher.show_baselines(baselines.returns, missing=baselines.missing)
    if baselines.missing:
        watcher.show_baselines(baselines.returns, missing=())
