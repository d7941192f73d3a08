"""Returns of the baselines on the held-out tasks of a run, to stand beside the agent's.

No training waits for them. A return that was measured once is kept in the user's cache folder, under a hash of everything that
it depends on: the held-out tasks and their keys, the distribution's settings and spec, the baseline's name, and the source code
of this package and of the files that define the tasks and the baseline.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

import quickstudy
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.task_distribution import task_hash
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.runner import Runner
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.caches import cache_folder
from quickstudy.storage.reading import DESCRIPTION, read_json
from quickstudy.training.source_files import file_digests
from quickstudy.training.sources import held_out_tasks

_FILE = "baselines.json"


class BaselineReturns:
    """Mean lifetime returns of a distribution's baselines on the held-out tasks that a run evaluates its agent on.

    Args:
      distribution: whose baselines they are.
      tasks: the number of held-out tasks; fewer where lifetimes are long.
      collecting: where lifetimes on tasks outside JAX are collected.
      cache: a folder for returns that were measured; the user's cache folder where not given, if it can be written.

    The attribute `returns` holds what is known, by name, in reward units.
    """

    def __init__(
        self,
        distribution: AnyDistribution,
        *,
        tasks: int,
        collecting: CollectingConfig = CollectingConfig(),
        cache: str | Path | None = None,
    ):
        self._distribution, self._tasks, self._collecting = distribution, tasks, collecting
        self._cache = Path(cache) if cache is not None else cache_folder("baselines")
        self.returns: dict[str, float] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the baselines whose returns are not known."""
        return tuple(name for name in self._distribution.baselines if name not in self.returns)

    def load(self) -> None:
        """Reads the returns that are in the cache; measures nothing."""
        for name in self.missing if self._cache is not None else ():
            try:
                self.returns[name] = float(json.loads(self._path(name).read_text(encoding="utf-8"))["return"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not there, or written by another program

    def measure(self) -> Iterator[str]:
        """Measures the missing returns one after the other and writes them to the cache. Yields the name of each.

        Raises:
          CollectingError: a lifetime was lost to a fault of its environment.
        """
        tasks, keys = self._held_out
        with Runner(self._distribution, self._collecting) as runner:
            for name in self.missing:
                agent = self._distribution.baselines[name]()
                rewards = runner.run(agent, agent.init(jax.random.key(0)), tasks, keys).reward
                self.returns[name] = float(rewards.sum(1).mean())
                self._keep(name)
                yield name

    def save(self, folder: str | Path) -> None:
        """Writes what is known to `baselines.json` of a run folder, for the pages that show the run."""
        if not self.returns:
            return
        tasks, keys = self._held_out
        content = {"split": "test", "tasks": len(keys), "task_hash": task_hash(tasks), "returns": self.returns}
        write_atomically(Path(folder) / _FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @functools.cached_property
    def _held_out(self) -> tuple[PyTree, Key[Array, " tasks"]]:
        return held_out_tasks(self._distribution, tasks=self._tasks)

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        tasks, keys = self._held_out
        return {
            "distribution": self._distribution.name,
            "config": dict(self._distribution.config),
            "spec": self._distribution.spec.describe(),
            "task_hash": task_hash(tasks),
            "keys": np.asarray(jax.random.key_data(keys)).tolist(),
            "package": _package_digest(),
            "files": _digests(getattr(self._distribution, f.name) for f in dataclasses.fields(self._distribution)),
        }

    def _path(self, name: str) -> Path:
        files = _digests([self._distribution.baselines[name]])
        described = json.dumps(self._settings | {"baseline": name, "baseline_files": files}, sort_keys=True, default=str)
        assert self._cache is not None  # nothing is read or kept without it
        return self._cache / f"{hashlib.sha256(described.encode()).hexdigest()}.json"

    def _keep(self, name: str) -> None:
        if self._cache is None:
            return
        content = {"distribution": self._distribution.name, "baseline": name, "return": self.returns[name]}
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(name), json.dumps(content, ensure_ascii=False) + "\n")
        except OSError:
            pass  # a cache that cannot be written costs time later, and nothing now


def read_baselines(folder: str | Path) -> dict[str, float]:
    """Held-out returns of the baselines by name, from a run folder; empty where it has none.

    Raises:
      UsageError: the file does not parse, or holds something else.
    """
    path = Path(folder) / _FILE
    if not path.exists():
        return {}
    returns = read_json(path, what="returns of the baselines", limit=DESCRIPTION).get("returns")
    if not isinstance(returns, dict) or not all(type(value) in (int, float) for value in returns.values()):
        raise UsageError(f"{path}: returns must be a table of names and numbers. Delete the file, or train again.")
    return {name: float(value) for name, value in returns.items()}


@functools.cache
def _package_digest() -> str:
    """A hash of this package's source code, so that no stored return is used after a change of a task or of a baseline."""
    digest, home = hashlib.sha256(), Path(quickstudy.__file__).parent
    for path in sorted(home.rglob("*.py")):
        digest.update(str(path.relative_to(home)).encode() + path.read_bytes())
    return digest.hexdigest()


def _digests(values: Iterable[Any]) -> list[str]:
    """Digests of the files that functions among these values are defined in."""
    return sorted(set(file_digests(values).values()))
