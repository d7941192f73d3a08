"""The returns that an evaluation was computed from, one row each: for statistics and pictures of your own."""

import csv
import importlib.util
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import printable
from quickstudy.protocol.records import Spec
from quickstudy.storage.atomic import write_atomically

_ENDINGS = (".csv", ".parquet")


class RawReturns:
    """A table that `evaluate` fills: one row for each agent, split, task and training seed, and for each episode if that helps.

    Columns:
      agent: the contender's name.
      split: of the tasks.
      task: the number of the task in the list of its split, from 0; all agents have the same tasks.
      seed: the number of the training seed, from 0; a baseline has one.
      episode: from 0. The column is there if a lifetime has several episodes of several steps.
      return: of the episode, or of the whole lifetime if there is no such column; in reward units.

    Example:
      >>> import quickstudy as qs
      >>> bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10)
      >>> raw = qs.RawReturns()
      >>> agents = {"greedy": qs.contender(bandits.baselines["greedy"]())}
      >>> measured = qs.evaluate(agents, bandits, split="test", tasks=3, raw=raw)
      >>> len(raw), sorted(raw.columns())
      (3, ['agent', 'return', 'seed', 'split', 'task'])
    """

    def __init__(self) -> None:
        self._parts: list[tuple[str, str, np.ndarray]] = []
        self._by_episode = False

    def add(self, agent: str, split: str, reward: Float[np.ndarray, "seeds tasks T"], spec: Spec) -> None:
        """Adds all lifetimes of a contender on a split; `evaluate` calls this.

        Args:
          agent: the contender's name.
          split: of the tasks.
          reward: of every slot; 0 after the end of an episode.
          spec: of the tasks, the same for all that is added.
        """
        self._by_episode = spec.episodes > 1 and spec.horizon > 1
        episodes = spec.episodes if self._by_episode else 1
        returns = reward.reshape(*reward.shape[:2], episodes, -1).sum(-1, dtype=np.float64)
        self._parts.append((printable(agent), printable(split), returns))

    def columns(self) -> dict[str, np.ndarray]:
        """The table by column; all columns have the same length."""
        parts = [_columns(*part) for part in self._parts]
        names = [name for name in _columns("", "", np.zeros((0, 0, 1))) if self._by_episode or name != "episode"]
        return {name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0) for name in names}

    def of_tasks(self, split: str) -> dict[str, Float[np.ndarray, " tasks"]]:
        """The return of a lifetime on each task of a split, by agent: a mean over seeds, in reward units.

        Args:
          split: that was measured.
        """
        return {agent: returns.sum(-1).mean(0) for agent, of, returns in self._parts if of == printable(split)}

    def __len__(self) -> int:
        return sum(returns.size for _, _, returns in self._parts)

    def save(self, path: str | os.PathLike) -> Path:
        """Writes the table, whole or not at all, and gives its path.

        Args:
          path: that ends in `.csv`, or in `.parquet` where pyarrow is installed.
        Raises:
          UsageError: as of `check_raw_path`.
        """
        path = check_raw_path(path)
        write_atomically(path, _parquet(self.columns()) if path.suffix == ".parquet" else _csv(self.columns()))
        return path


def check_raw_path(path: str | os.PathLike) -> Path:
    """The path, if a table can be written there; looks at its name alone.

    Raises:
      UsageError: another ending than `.csv` and `.parquet`, or `.parquet` without pyarrow.
    """
    path = Path(path)
    if path.suffix not in _ENDINGS:
        raise UsageError(f"raw returns go to a file that ends in .csv or .parquet; came {str(path)!r}.")
    if path.suffix == ".parquet" and not _is_installed("pyarrow"):
        raise UsageError(
            "a .parquet file needs pyarrow, which is not installed. Install it with: pip install pyarrow. Or name a .csv file."
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file for the raw returns, as in {path / 'returns.csv'}.")
    return path


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it was imported in a way that leaves no trace, or forbidden
        return False


def _columns(agent: str, split: str, returns: Float[np.ndarray, "seeds tasks episodes"]) -> dict[str, np.ndarray]:
    seed, task, episode = (axis.ravel() for axis in np.indices(returns.shape))
    words = {name: np.full(returns.size, word) for name, word in (("agent", agent), ("split", split))}
    return {**words, "task": task, "seed": seed, "episode": episode, "return": returns.ravel()}


def _csv(columns: Mapping[str, np.ndarray]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return file.getvalue()


def _parquet(columns: Mapping[str, np.ndarray]) -> bytes:
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(arrow.table({name: arrow.array(column.tolist()) for name, column in columns.items()}), file)
    return file.getvalue()
