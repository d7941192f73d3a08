"""Meta-RL algorithms, one file each. To add one: its file, and a line in this table."""

import dataclasses
from collections.abc import Callable
from typing import Any

from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Spec
from quickstudy.protocol.registry import config_class, resolve
from quickstudy.protocol.settings import with_settings

__all__ = ["ALGORITHMS", "default_config", "make"]

ALGORITHMS = {
    "energy": "quickstudy.algorithms.energy:energy",
    "hybrid": "quickstudy.algorithms.hybrid:hybrid",
    "maml": "quickstudy.algorithms.maml:maml",
    "multi-task": "quickstudy.algorithms.multi_task:multi_task",
    "pearl": "quickstudy.algorithms.pearl:pearl",
    "promp": "quickstudy.algorithms.promp:promp",
    "reptile": "quickstudy.algorithms.reptile:reptile",
    "rl2": "quickstudy.algorithms.rl2:rl2",
    "sparse-maml": "quickstudy.algorithms.sparse_maml:sparse_maml",
    "varibad": "quickstudy.algorithms.varibad:varibad",
}


def make(name: str | Callable[..., MetaAlgorithm], spec: Spec, config: Any = None, **settings: Any) -> MetaAlgorithm:
    """A meta-RL algorithm by its name, or from a user's own file.

    Args:
      name: a key of `ALGORITHMS`, or a function `(spec, config) -> MetaAlgorithm`, or where it is: `path/to/file.py:function`.
      spec: of the tasks.
      config: its configuration, as the function's `config` argument takes it; the default one if not given.
      **settings: single settings by their flat names, as `hidden_size=32`; the rest stay as `config` has them.
    Raises:
      UnknownNameError: no such algorithm or setting.
      UsageError: a setting out of its range, or a file that does not import.
    """
    factory = _factory(name)
    config = config_class(factory)() if config is None else config
    algorithm = factory(spec, with_settings(config, settings, of=str(name)) if settings else config)
    return dataclasses.replace(algorithm, name=name) if isinstance(name, str) else algorithm


def default_config(name: str | Callable[..., MetaAlgorithm]) -> Any:
    """The configuration that `make` gives an algorithm where nothing is set; `name` and errors as there."""
    return config_class(_factory(name))()


def _factory(name: str | Callable[..., MetaAlgorithm]) -> Callable[..., MetaAlgorithm]:
    return resolve("algorithm", name, ALGORITHMS) if isinstance(name, str) else name
