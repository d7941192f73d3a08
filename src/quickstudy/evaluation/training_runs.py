"""Runs as they are compared: the held-out return during training, what was asked for, and which runs have the same tasks."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.reading import DESCRIPTION, read_json
from quickstudy.storage.run_description import read_description
from quickstudy.storage.run_folder import read_metrics

_LARGEST = 1e100
_NOT_SET = "–"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A run folder, as far as runs are compared.

    Args:
      name: that pictures and sentences show: the last parts of the folder's path that no other run has.
      folder: of the run.
      algorithm: its name.
      distribution: `name` and `config` of the tasks.
      spec: spaces, horizon and episodes.
      settings: of the algorithm and the training, by flat name.
      surroundings: versions and the machine, by name in words.
      files: digests of the user's own files that the run was started with, by path.
      steps: environment steps per seed at each evaluation during training.
      seconds: that the run had taken by then, compiling included.
      returns: held-out lifetime returns `[evaluations, seeds]`, in reward units.
      finished: it has a bundle, or has spent its budget; other runs are under way or were interrupted.
    """

    name: str
    folder: Path
    algorithm: str
    distribution: Mapping[str, Any]
    spec: Mapping[str, Any]
    settings: Mapping[str, Any]
    surroundings: Mapping[str, Any]
    files: Mapping[str, Any]
    steps: Float[np.ndarray, " evaluations"]
    seconds: Float[np.ndarray, " evaluations"]
    returns: Float[np.ndarray, "evaluations seeds"]
    finished: bool

    @property
    def seeds(self) -> int:
        """Training seeds; 0 where nothing was measured yet."""
        return self.returns.shape[1] if len(self.returns) else 0

    @property
    def last(self) -> Float[np.ndarray, " seeds"]:
        """The held-out return of every seed in the last evaluation; empty where there is none."""
        return self.returns[-1] if len(self.returns) else np.zeros(0)


def load_runs(folders: Sequence[str | Path]) -> list[TrainingRun]:
    """The runs in several folders, in the order given.

    Args:
      folders: of runs; the bundle in the folder of a run stands for the run.
    Raises:
      UsageError: a folder that is not there, that is named twice, or that holds no run or a damaged `run.json`.
    """
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        place = folder.parent if folder.name == "bundle" and (folder.parent / "run.json").is_file() else folder
        if not place.is_dir():
            raise UsageError(f"there is no folder {str(place)!r}. Name the folders of runs, as in runs/rl2-bernoulli-bandit.")
        if not (place / "run.json").is_file():
            raise UsageError(
                f"{place} holds no run: it has no run.json. Name the folders of runs; a bundle alone has no curve."
            )
        if place.resolve() in found:
            raise UsageError(f"{place} is named twice. Name every run once.")
        found[place.resolve()] = place
    names = _names(list(found))
    return [_load(place, names[resolved]) for resolved, place in found.items()]


def same_tasks(runs: Sequence[TrainingRun]) -> list[list[TrainingRun]]:
    """Runs in groups whose returns may be compared: same distribution, same settings of it, same spaces and lengths."""
    groups: dict[str, list[TrainingRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps([run.distribution, run.spec], sort_keys=True), []).append(run)
    return list(groups.values())


def best_first(runs: Sequence[TrainingRun]) -> list[TrainingRun]:
    """Runs by the mean held-out return of their last evaluation; those without one come last."""
    return sorted(runs, key=lambda run: -run.last.mean() if run.seeds else np.inf)


def differing(runs: Sequence[TrainingRun]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Settings that are not the same in all runs, as text in the order of the runs.

    Returns:
      Those that every run has; then those that only some algorithms have, where a run without it has a dash.
    """
    everything = [{"algorithm": run.algorithm, **run.settings, **run.surroundings} for run in runs]
    shared: dict[str, list[str]] = {}
    partial: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for one in everything for name in one):
        values = [_text(one[name]) if name in one else _NOT_SET for one in everything]
        if len(set(values)) > 1:
            (shared if all(name in one for one in everything) else partial)[name] = values
    return shared, partial


def changed_files(runs: Sequence[TrainingRun]) -> list[str]:
    """Files of the user's own that are not the same in all runs that name them."""
    digests: dict[str, set[str]] = {}
    for run in runs:
        for name, digest in run.files.items():
            digests.setdefault(name, set()).add(_text(digest))
    return [name for name, found in digests.items() if len(found) > 1]


def _load(folder: Path, name: str) -> TrainingRun:
    description = read_description(folder)
    algorithm, distribution = _part(description, "algorithm"), _part(description, "distribution")
    machine, versions = _part(description, "machine"), _part(description, "versions")
    lines = list(_measured(read_metrics(folder)))
    return TrainingRun(
        name=name,
        folder=folder,
        algorithm=str(algorithm.get("name", "unknown")),
        distribution={"name": str(distribution.get("name", "unknown")), "config": _part(distribution, "config")},
        spec=_part(description, "spec"),
        settings={**_part(algorithm, "config"), **_part(description, "training")},
        surroundings={
            **{f"version of {package}": versions[package] for package in ("quickstudy", "jax") if package in versions},
            **{name: machine[name] for name in ("device", "devices", "cores") if name in machine},
        },
        files=_part(description, "files"),
        steps=np.asarray([line["steps"] for line in lines], float),
        seconds=np.asarray([line["seconds"] for line in lines], float),
        returns=np.asarray([line["held_out_return"] for line in lines], float).reshape(len(lines), -1 if lines else 0),
        finished=(folder / "bundle" / "bundle.json").is_file() or has_spent_its_budget(folder),
    )


def has_spent_its_budget(folder: Path) -> bool:
    """Whether the newest checkpoint is that of the last update. A run from Python ends so, and need not have a bundle."""
    update, planned = planned_updates(folder)
    return update is not None and planned is not None and update >= planned


def planned_updates(folder: Path) -> tuple[int | None, int | None]:
    """The update of the newest checkpoint of a run, and the number of updates that its budget allows; None where unknown."""
    with suppress(UsageError, OSError):
        update = max((int(one.name) for one in (folder / "checkpoints").iterdir() if one.name.isdecimal()), default=None)
        if update is not None:
            path = folder / "checkpoints" / str(update) / "notes.json"
            notes = read_json(path, what="notes of a checkpoint", limit=DESCRIPTION)
            planned = _part(notes, "notes").get("updates")
            return update, planned if type(planned) is int else None
    return None, None


def _measured(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The lines with held-out returns; anybody may have written the file, so each number is looked at."""
    seeds = None
    for line in lines:
        returns = line.get("held_out_return")
        if not isinstance(returns, list) or not returns or (seeds is not None and len(returns) != seeds):
            continue
        if all(_is_number(value) for value in (line.get("steps"), line.get("seconds"), *returns)):
            seeds = len(returns)
            yield line


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The shortest end of each path that is not the end of another."""
    found = {}
    for folder in folders:
        for count in range(1, len(folder.parts) + 1):
            end = folder.parts[-count:]
            if sum(other.parts[-count:] == end for other in folders) == 1:
                break
        found[folder] = "/".join(end) or str(folder)
    return found


def _part(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = tree.get(name)
    return part if isinstance(part, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
