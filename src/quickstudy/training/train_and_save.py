"""Meta-training as an application: train, save the bundle, and measure the baselines after it."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from quickstudy.protocol.errors import BundleError, CollectingError, QuickstudyError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.atomic import in_words
from quickstudy.storage.bundle import Bundle, is_saved, save_bundle
from quickstudy.storage.card import read_card
from quickstudy.storage.reading import is_file
from quickstudy.storage.results_folder import set_aside
from quickstudy.training.baseline_returns import BaselineReturns
from quickstudy.training.budget import parse_budget
from quickstudy.training.interrupts import finish_on_interrupt, skip_on_interrupt
from quickstudy.training.loop import Run, TrainingConfig, training_run
from quickstudy.training.progress import Progress

_log = logging.getLogger("quickstudy")
_LEAST_BASELINE_SECONDS = 30.0


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
    extend: bool = False,
    overwrite: bool = False,
    begin_with: Bundle | None = None,
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
      extend: as of `meta_train`. What was measured of the earlier parameters is set aside when the new ones are saved.
      overwrite: start again in a folder that holds a run.
      begin_with: as of `meta_train`.
      command: the command that asked for the run, for its record.
      collecting: where lifetimes on tasks outside JAX are collected.
      measure_baselines: measure the returns that are not in the cache, after training. Ctrl-C leaves the rest of them out, and
        so does a budget in time: none is begun once they have taken as long as the budget, and at least half a minute.
      watcher: shows the run.
    Raises:
      CollectingError, SpecError, UsageError, NonFiniteError: see `meta_train`.
      QuickstudyError: the bundle could not be written.
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

    with training_run(
        algorithm, distribution, config, folder=folder, resume=resume, extend=extend, overwrite=overwrite,
        begin_with=begin_with, command=command, collecting=collecting, watch=watch,
    ) as run:  # fmt: skip
        if run.folder is None:  # of several processes, the first does the rest
            return run
        if run.finished:
            with finish_on_interrupt() as interrupted:
                _save(run, Path(folder) / "bundle", command=command)
            if measure_baselines and not interrupted.is_set():
                _measure(baselines, watcher, seconds=max(_LEAST_BASELINE_SECONDS, parse_budget(config.budget)[0] or math.inf))
        try:
            baselines.save(folder)
        except OSError as error:  # pages then show fewer baselines
            _log.warning("The returns of the baselines could not be written: %s.", in_words(error))
        return run


def _save(run: Run, path: Path, *, command: str | None) -> None:
    """Saves the agent of a run that has ended. A bundle of it that is there already stays, with the results noted in it.

    Raises:
      QuickstudyError: the disk is full, gone or read-only.
    """
    if is_saved(path, run.algorithm, run.params, distribution=run.distribution):
        return
    try:
        _set_results_aside(path)
        save_bundle(path, run.algorithm, run.params, distribution=run.distribution, command=command)
    except OSError as error:
        raise QuickstudyError(
            f"training has ended, but the bundle could not be written: {in_words(error)}. The checkpoints in {path.parent} are "
            "as they were. Make room, then give the same command with --resume: it writes the bundle."
        ) from error


def _set_results_aside(path: Path) -> None:
    """Moves the measurements of the bundle that will be replaced, since they do not belong to the new parameters."""
    if not is_file(path / "bundle.json"):
        return
    with suppress(BundleError):  # the card of a damaged bundle does not name its parameters
        aside = set_aside(path.parent, read_card(path)["parameters_sha256"])
        if aside is not None:
            _log.warning("The agent has other parameters now. What was measured of the earlier ones is in %s.", aside)


def _measure(baselines: BaselineReturns, watcher: Watcher, *, seconds: float) -> None:
    """Measures the returns that are missing; no measurement begins after this number of seconds.

    The agent is trained and saved, so neither Ctrl-C nor a fault undoes anything.
    """
    if not baselines.missing:
        return
    began = time.monotonic()
    with skip_on_interrupt(), suppress(CollectingError):
        watcher.show_baselines(baselines.returns, missing=baselines.missing)
        for _ in baselines.measure():
            late = time.monotonic() - began > seconds and bool(baselines.missing)
            watcher.show_baselines(baselines.returns, missing=() if late else baselines.missing)
            if late:
                _log.warning(
                    "There was no time left for the baselines %s. `quickstudy evaluate` measures all.",
                    ", ".join(baselines.missing),
                )
                break
    if baselines.missing:
        watcher.show_baselines(baselines.returns, missing=())
