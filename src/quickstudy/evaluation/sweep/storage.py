"""A sweep on disk.

sweep.json          what was asked for, every trial, and the best settings; written again after each trial
trials.csv          one line for each seed of each trial
trials/NUMBER/      the run of a trial, as `quickstudy train` writes it; without checkpoints once it was measured
optuna.journal      of Optuna, if it chooses the trials
lock                while the sweep is under way: its process
"""

import csv
import dataclasses
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from quickstudy.evaluation.sweep.records import Sweep
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.storage.atomic import clear_leftovers, in_words, is_temporary, write_atomically
from quickstudy.storage.folder_lock import LOCK, FolderLock
from quickstudy.storage.plain import from_document, to_document, to_plain
from quickstudy.storage.reading import is_file, read_json
from quickstudy.storage.results_folder import check_results_folder
from quickstudy.storage.whole_folders import remove_at_once

FILE, ROWS, TRIALS = "sweep.json", "trials.csv", "trials"
_FORMAT = 1
_DIGITS = 17
_MAY_CHANGE = ("trials", "command", "results", "winners")


def read_sweep(folder: str | Path) -> Sweep:
    """The sweep in a folder.

    Raises:
      UsageError: there is none, or it does not parse or holds something else.
    """
    path = Path(folder) / FILE
    data = read_json(path, what="sweep")
    return from_document(
        Sweep, data, version=_FORMAT, what=f"sweep {path}", remedy="Sweep again, with --overwrite or in another folder."
    )


def trial_folder(folder: str | Path, number: int) -> Path:
    """The folder of the run of a trial."""
    return Path(folder) / TRIALS / f"{number:03d}"


class SweepFolder:
    """A folder that one sweep owns until `close`.

    Args:
      path: created if it is not there.
      resume: go on with the sweep in it.
      overwrite: delete the sweep in it.
    Raises:
      UsageError: it holds a sweep and neither was asked for, something else, or nothing to resume; or another process has it.
      OSError: it cannot be written.
    """

    def __init__(self, path: str | Path, *, resume: bool, overwrite: bool):
        self.path = Path(path)
        check_results_folder(self.path)
        _check(self.path, resume=resume, overwrite=overwrite)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock.take(self.path)
        try:
            _check(self.path, resume=resume, overwrite=overwrite)
            clear_leftovers(self.path)
            if not resume:
                # The record goes last: until then the folder can still be overwritten.
                for name in sorted(_held(self.path), key=lambda name: name == FILE):
                    remove_at_once(self.path / name)
        except BaseException:
            self._lock.release()
            raise

    def take_up(self, asked: Sweep) -> Sweep:
        """The sweep that goes on: the one in the folder if there is one, with the number of trials that is asked for now.

        Raises:
          UsageError: the sweep in the folder has other settings, or more trials already.
        """
        if not is_file(self.path / FILE):
            return asked
        stored = read_sweep(self.path)
        for field in dataclasses.fields(Sweep):
            if field.name not in _MAY_CHANGE:
                before, now = to_plain(getattr(stored, field.name)), to_plain(getattr(asked, field.name))
                _check_same(field.name, before, now)
        if asked.trials < len(stored.results):
            raise UsageError(
                f"the sweep in {self.path} has {len(stored.results)} trials; came --trials {asked.trials}. Give that "
                "number, or more."
            )
        winners = stored.winners if stored.trials == asked.trials else ()
        return dataclasses.replace(asked, results=stored.results, winners=winners)

    def save(self, sweep: Sweep) -> None:
        """Writes `sweep.json` and `trials.csv`.

        Raises:
          QuickstudyError: the disk is full, gone or read-only. What was there stays.
        """
        try:
            document = to_document(sweep, version=_FORMAT, digits=_DIGITS)
            write_atomically(self.path / FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            write_atomically(self.path / ROWS, _rows(sweep))
        except OSError as error:
            raise QuickstudyError(
                f"the sweep could not be written: {in_words(error)}. Trials that had ended before are kept. Make room, then "
                "give the same command with --resume."
            ) from error

    def close(self) -> None:
        """Lets go of the folder."""
        self._lock.release()


def _rows(sweep: Sweep) -> str:
    """The trials as CSV: one line for each seed; a trial without returns has one line."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["trial", "state", "seed", *sweep.over, "validation_return", "steps", "seconds"])
    for trial in sweep.results:
        first = sweep.settings_of(trial)["training"]["seed"]
        settings = [_cell(trial.settings[name]) for name in sweep.over]
        for place, value in enumerate(trial.returns or ("",)):
            lines.writerow([trial.number, trial.state, first + place, *settings, value, trial.steps, trial.seconds])
    return text.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _held(path: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return [one.name for one in path.iterdir() if one.name != LOCK and not is_temporary(one)]
    return []


def _check(path: Path, *, resume: bool, overwrite: bool) -> None:
    held = _held(path)
    if resume and held and FILE not in held:
        raise UsageError(f"{path} holds no sweep to resume. Leave out --resume, or name another folder.")
    if resume and not path.is_dir():
        raise UsageError(f"there is no sweep to resume in {path}. Leave out --resume to start one.")
    if resume or not held:
        return
    if FILE not in held:
        raise UsageError(f"{path} does not hold a sweep, so nothing is written there. Name another folder.")
    if not overwrite:
        raise UsageError(f"{path} already holds a sweep. Go on with --resume, start again with --overwrite, or name another.")


def _check_same(name: str, before: Any, now: Any) -> None:
    """Raises UsageError for the first setting of a sweep that is another one now; the names of parts lead to it."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            if key not in ("evaluation_seconds", "checkpoint_seconds"):
                _check_same(f"{name}, {key}", before.get(key), now.get(key))
    elif before != now:
        raise UsageError(
            f"the sweep to resume has other settings: {name} was {before!r:.80}; came {now!r:.80}. Give the same command, or "
            "start another sweep in another folder."
        )
