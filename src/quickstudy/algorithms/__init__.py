"""Meta-RL algorithms, one file each. To add one: its file, and a line in this table."""

import dataclasses
from collections.abc import Callable
from typing import Any

from quickstudy.baselines import BASELINES, registered_name
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Spec
from quickstudy.protocol.registry import call, config_class, resolve
from quickstudy.protocol.settings import check_settings, with_settings

__all__ = ["ALGORITHMS", "default_config", "factory_of", "make"]

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


def factory_of(name: str) -> Callable[..., MetaAlgorithm]:
    """The function `(spec, config)` behind the name of an algorithm, or in a user's own file.

    Raises:
      UnknownNameError: no such algorithm; says so where the name is that of a baseline.
      UsageError: a file that does not import, or holds no such function.
    """
    hint = None
    if registered_name(name) in BASELINES:
        known = registered_name(name)
        hint = f"{name!r} is a baseline: `quickstudy speed RUN --against {known}` compares an agent with it."
    return resolve("algorithm", name, ALGORITHMS, hint=hint)


def make(name: str | Callable[..., MetaAlgorithm], spec: Spec, config: Any = None, **settings: Any) -> MetaAlgorithm:
    """A meta-RL algorithm by its name, or from a user's own file.

    Args:
      name: a key of `ALGORITHMS`, or a function `(spec, config) -> MetaAlgorithm`, or where it is: `path/to/file.py:function`.
      spec: of the tasks.
      config: its configuration, as the function's `config` argument takes it; the default one if not given.
      **settings: single settings by their flat names, as `hidden_size=32`; the rest stay as `config` has them.
    Raises:
      UnknownNameError: no such algorithm or setting.
      UsageError: a setting of a wrong type or out of its range, a file that does not import, a function that raises or
        returns something else.
    """
    factory = factory_of(name) if isinstance(name, str) else name
    config = config_class(factory)() if config is None else config
    config = with_settings(config, settings, of=str(name)) if settings else config
    check_settings(config)
    algorithm = call(str(name), factory, spec, config)
    if not isinstance(algorithm, MetaAlgorithm):
        raise UsageError(f"{name} must return a MetaAlgorithm; came {type(algorithm).__name__}.")
    return dataclasses.replace(algorithm, name=name) if isinstance(name, str) else algorithm


def default_config(name: str | Callable[..., MetaAlgorithm]) -> Any:
    """The configuration that `make` gives an algorithm where nothing is set; `name` and errors as there."""
    return config_class(factory_of(name) if isinstance(name, str) else name)()
