"""Contenders: the agents of a measurement, from bundles, from baselines, under the names that tables show."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from quickstudy import baselines
from quickstudy.evaluation.results import Control
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.printable import shell_word
from quickstudy.protocol.records import Spec
from quickstudy.storage.bundle import Bundle, load_bundle
from quickstudy.storage.card import bundle_folder, made_tasks
from quickstudy.storage.reading import is_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """An agent that takes part.

    Args:
      agent: its spec agrees with the distribution's.
      params: of the agent; every leaf has a leading axis `[seeds]`.
      trained: meta-trained, in contrast to a baseline or a control.
      control: of which contender it is a control; None for agents and baselines.
    """

    agent: Agent
    params: PyTree
    trained: bool
    control: Control | None = None

    @property
    def seeds(self) -> int:
        """Independent training runs in `params`; 1 where there are no parameters at all."""
        leaves = jax.tree.leaves(self.params)
        return int(leaves[0].shape[0]) if leaves else 1

    def params_of(self, seed: int) -> PyTree:
        """The parameters of one seed, counted from 0."""
        return jax.tree.map(lambda leaf: leaf[seed], self.params)


def contender(agent: Agent, *, key_seed: int = 0) -> Contender:
    """A baseline: an agent with its initial parameters, as one seed.

    Args:
      agent: without meta-training.
      key_seed: of its initial parameters.
    """
    params = agent.init(jax.random.key(key_seed))
    return Contender(agent=agent, params=jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params), trained=False)


def trained_contender(bundle: Bundle, spec: Spec) -> Contender:
    """A bundle's agent on tasks with the same spaces; lifetimes may be longer or shorter than those of training.

    Raises:
      SpecError: the spaces differ, or the lifetimes do not fit the agent.
    """
    return Contender(agent=bundle.agent_for(spec), params=bundle.params, trained=True)


def baselines_of(distribution: AnyDistribution, names: Iterable[str] | None = None) -> dict[str, Contender]:
    """The baselines that a distribution brings, by name.

    Args:
      distribution: that the baselines belong to.
      names: some of them; all if None.
    Raises:
      UnknownNameError: no baseline of that name.
    """
    chosen = list(distribution.baselines) if names is None else list(names)
    for name in chosen:
        if name not in distribution.baselines:
            raise UnknownNameError(f"baseline of {distribution.name},", name, distribution.baselines)
    return {name: contender(distribution.baselines[name]()) for name in chosen}


def load_opponent(name: str, spec: Spec, *, algorithm: str | None = None) -> tuple[str, Contender]:
    """An opponent by the path of a run or bundle, or by the name of a baseline.

    Args:
      name: a path, a key of `baselines.BASELINES`, or `PATH.py:FUNCTION` of a baseline.
      spec: that it is made for.
      algorithm: as of `load_bundle`.
    Returns:
      The name of its algorithm or baseline, and the contender.
    Raises:
      UnknownNameError: neither a run, nor a bundle, nor a baseline.
      SpecError: it does not fit the spec.
    """
    if is_file(bundle_folder(name) / "bundle.json"):
        bundle = load_bundle(name, algorithm=algorithm)
        return algorithm_of(bundle), trained_contender(bundle, spec)
    name = baselines.registered_name(name)
    if name in baselines.BASELINES or name.endswith(".py") or ".py:" in name:
        return name, contender(baselines.make(name, spec))
    raise UnknownNameError("run, bundle or baseline", name, baselines.BASELINES)


def algorithm_of(bundle: Bundle) -> str:
    """The name of the algorithm that a bundle's agent was trained by."""
    return bundle.card["algorithm"]["name"]


def label(name: str, path: str, taken: Iterable[str]) -> str:
    """A name that tables show; the folder stands behind it where the name is taken already.

    Args:
      name: of an algorithm or a baseline.
      path: that it was loaded from.
      taken: names that are shown already.
    Returns:
      `rl2`, else `rl2 (folder)`, else `rl2 (whole/path)`.
    """
    place = Path(path).parent if Path(path).name == "bundle" else Path(path)
    found = (name, f"{name} ({place.name})", f"{name} ({path})")
    return next((one for one in found if one not in set(taken)), found[-1])


def labels(bundles: Mapping[str, Bundle]) -> dict[str, str]:
    """Path of each bundle -> the name that tables show: its algorithm, with its folder where an earlier one has that name."""
    found: dict[str, str] = {}
    for path, bundle in bundles.items():
        found[path] = label(algorithm_of(bundle), path, found.values())
    return found


def shared_origin(bundles: Mapping[str, Bundle], on: str | None = None) -> tuple[str, dict[str, Any]]:
    """Name and settings of the tasks that several agents are measured on.

    Args:
      bundles: by path, at least one.
      on: other tasks than those of training, as of `Bundle.origin`. Their settings are those of the first agent that was
        trained on tasks of this name, else the defaults.
    Raises:
      UsageError: the agents were trained on different tasks and `on` names none; lifetimes may differ in their episodes.
    """
    if on is not None:
        trained_there = [one for one in bundles.values() if one.card["distribution"]["name"] == on]
        return trained_there[0].origin(on) if trained_there else (on, {})
    found = [bundle.origin() for bundle in bundles.values()]
    without_length = [(name, {k: v for k, v in settings.items() if k != "episodes"}) for name, settings in found]
    for other in without_length[1:]:
        if other != without_length[0]:
            raise UsageError(
                f"the agents were trained on different tasks: {without_length[0]} and {other}. Name the tasks to measure "
                f"them on, as in --on {shell_word(without_length[0][0])}."
            )
    return found[0]


def distribution_of(bundles: Mapping[str, Bundle], *, on: str | None = None, episodes: int | None = None) -> AnyDistribution:
    """The tasks that several agents are measured on, with lifetimes of a given length.

    Args:
      bundles: by path, at least one.
      on: other tasks than those of training, as of `shared_origin`.
      episodes: in one lifetime; as the tasks have them if None. Where this is no setting of the tasks, floor and ceiling,
        which belong to a lifetime, are left out.
    Raises:
      UsageError: as of `shared_origin`.
      UnknownNameError: no such distribution or setting.
    """
    name, settings = shared_origin(bundles, on)
    distribution = made_tasks(name, settings)
    if episodes is None:
        return distribution
    if "episodes" in distribution.config:
        return made_tasks(name, settings | {"episodes": episodes})
    spec = dataclasses.replace(distribution.spec, episodes=episodes)
    return dataclasses.replace(distribution, spec=spec, floor=None, ceiling=None)
