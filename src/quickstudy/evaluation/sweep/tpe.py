"""Trials that Optuna's TPE sampler chooses from the results of earlier ones.

Its study is kept in the folder of the sweep, in `optuna.journal`, which Optuna's own tools read. The records of the sweep
decide: if Optuna knows a trial and the sweep does not, Optuna is told that this trial has failed. The generator of each choice
is seeded with the number of the trial, so a sweep that was interrupted goes on as if it had not been.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.evaluation.sweep.records import Trial
from quickstudy.evaluation.sweep.space import SweptSetting
from quickstudy.protocol.errors import MissingExtraError, QuickstudyError

JOURNAL = "optuna.journal"
_STUDY = "sweep"
_NUMBER = "trial"
"""The user attribute that holds the number of the trial of the sweep."""


def check_optuna() -> None:
    """Raises MissingExtraError if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Optuna, which --sampler tpe needs,", "sweep") from error


class TpeTrials:
    """Trials that TPE chooses.

    Args:
      over: the settings that are varied.
      folder: of the sweep, which this process has for itself.
      seed: of the choices.
    Raises:
      MissingExtraError: Optuna is not installed.
      QuickstudyError: its journal is damaged.
    """

    def __init__(self, over: Mapping[str, SweptSetting], folder: Path, *, seed: int):
        check_optuna()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = folder / JOURNAL
        Path(f"{path}.lock").unlink(missing_ok=True)  # of a process that was killed: nobody else may write here now
        _drop_half_line(path)
        lock = JournalFileOpenLock(str(path))
        try:
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
            self._study = optuna.create_study(study_name=_STUDY, storage=storage, direction="maximize", load_if_exists=True)
        except OSError:
            raise
        except Exception as error:  # a damaged journal makes Optuna raise errors of many kinds
            raise QuickstudyError(
                f"{path} cannot be read as Optuna's journal: {error}. Start again with --overwrite."
            ) from error
        self._over, self._seed, self._optuna = over, seed, optuna
        self._open = {one.user_attrs.get(_NUMBER): one.number for one in self._study.trials if not one.state.is_finished()}
        known = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        self._told = {one.user_attrs.get(_NUMBER) for one in self._study.trials if one.state in known}

    def settings(self, number: int) -> Mapping[str, Any]:
        """The settings of a trial; asked once for each number, from 1."""
        if number in self._open:  # a process was killed before the sweep took note of the choice
            self._study.tell(self._open.pop(number), state=self._optuna.trial.TrialState.FAIL)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=(self._seed * 1_000_003 + number) % 2**32)
        trial = self._study.ask()
        trial.set_user_attr(_NUMBER, number)
        self._open[number] = trial.number
        return {name: self._chosen(trial, name, one) for name, one in self._over.items()}

    def note(self, trial: Trial) -> None:
        """Tells Optuna what came of a trial. One that failed counts as worse than all others."""
        if trial.number in self._told:
            return
        at = self._open.pop(trial.number, None)
        if at is None:
            return
        self._told.add(trial.number)
        if trial.state == "failed":
            self._study.tell(at, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(at, trial.value)

    def _chosen(self, trial: Any, name: str, one: SweptSetting) -> Any:
        if not one.is_range:
            texts = {json.dumps(value): value for value in one.values}
            return texts[trial.suggest_categorical(name, list(texts))]
        low, high = one.ends
        if one.whole:
            return trial.suggest_int(name, int(low), int(high), log=one.log)
        return trial.suggest_float(name, low, high, log=one.log)


def _drop_half_line(path: Path) -> None:
    """Removes a last line that a killed process has not finished; Optuna would add to it."""
    if not path.exists():
        return
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
