"""A trained agent on disk: two files that hold numbers and text, and nothing that runs.

    parameters.safetensors     every leaf of the parameters by its path, with a leading axis over seeds
    bundle.json                algorithm and configuration, spec, where the tasks came from, digest of the parameters, what was
                               measured with the digest of each task list, versions, the command that made it

Loading parses both, rebuilds the agent from its registered algorithm and checks that everything fits; nothing in a bundle, and
no file that it names, is ever executed.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors.numpy import save as render_tensors

from quickstudy import algorithms, tasks
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import BundleError, QuickstudyError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.printable import shell_word
from quickstudy.protocol.records import Spec, spec_from_description
from quickstudy.protocol.settings import plain_mapping, plain_settings
from quickstudy.rollout.compiled import check_fit
from quickstudy.storage.atomic import read_regular_file, write_atomically, write_new_file
from quickstudy.storage.card import (
    FORMAT,
    algorithm_settings,
    bundle_folder,
    check_agent_size,
    made_tasks,
    read_card,
    task_settings,
    unknown_algorithm,
)
from quickstudy.storage.reading import CARD
from quickstudy.storage.run_folder import versions
from quickstudy.storage.tensors import Tensor, check_finite, tensor_file
from quickstudy.storage.whole_folders import existing_folder, held, whole_folder

_BEFORE_THE_SETTING = {"observation_scale": "bounds"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """A trained agent and what is known about it.

    Args:
      agent: rebuilt from its algorithm.
      params: leaves with a leading axis `[seeds]`.
      card: the content of `bundle.json`.
      make: `(spec) -> agent`, as the algorithm makes it with the bundle's settings.
    """

    agent: Agent
    params: PyTree
    card: dict[str, Any]
    make: Callable[[Spec], Agent]

    @property
    def seeds(self) -> int:
        """How many independently trained agents the bundle holds."""
        return int(jax.tree.leaves(self.params)[0].shape[0])

    def origin(self, on: str | None = None) -> tuple[str, dict[str, Any]]:
        """Name and settings of the tasks that the agent is used on.

        Args:
          on: other tasks than those that it was trained on: a name of `quickstudy list`, or `PATH.py:FUNCTION`.
        Returns:
          The name for `tasks.make`, and the settings: those of training where the name is that of training, else none.
        Raises:
          UsageError: the tasks of training stand in a user's file, and `on` does not name it. A file that a bundle names is
            run only if it is named here, too.
          BundleError: the card has a setting of these tasks that is not known or not allowed.
        """
        trained_on = self.card["distribution"]["name"]
        if on is None and trained_on not in tasks.DISTRIBUTIONS:
            raise UsageError(
                f"the tasks came from {trained_on!r}, a file that is run only if you name it: --on {shell_word(trained_on)} "
                f"on the command line, on={trained_on!r} in Python."
            )
        return on or trained_on, task_settings(self.card, trained_on) if on in (None, trained_on) else {}

    def distribution(self, on: str | None = None, **settings: Any) -> AnyDistribution:
        """The tasks that the agent was trained on, or others that are named.

        Args:
          on: as in `origin`.
          settings: of the distribution, in place of those of training.
        Raises:
          UsageError: as in `origin`, or the file does not import.
          UnknownNameError: no such distribution or setting.
          MissingExtraError: the tasks need a suite that is not installed.
        """
        name, trained_with = self.origin(on)
        return made_tasks(name, trained_with | settings)

    def agent_for(self, spec: Spec) -> Agent:
        """The agent as it is made for these tasks.

        Lifetimes may be longer or shorter than its own. Discrete actions may be more or fewer where no parameter depends on
        their number, as in a network that scores all actions alike.

        Raises:
          SpecError: other spaces, or lifetimes that it does not fit into.
        """
        ours = self.agent.spec
        kinds = {type(ours.action_space), type(spec.action_space)}
        same_actions = ours.action_space == spec.action_space or kinds == {gymnasium.spaces.Discrete}
        agent = self.agent
        if ours.observation_space == spec.observation_space and same_actions:
            made = self.make(spec)
            agent = made if self._holds_parameters_of(made) else agent
        check_fit(agent, spec)
        return agent

    def _holds_parameters_of(self, agent: Agent) -> bool:
        """Whether this agent's parameters have the names and shapes of those of the bundle."""
        wanted = jax.eval_shape(agent.init, jax.random.key(0))
        held = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self.params)
        shapes = lambda tree: [(name, leaf.shape, leaf.dtype) for name, leaf in _named_leaves(tree).items()]  # noqa: E731
        return shapes(wanted) == shapes(held)

    def params_of(self, seed: int = 0) -> PyTree:
        """The parameters of one of the seeds, ready for `agent.begin`.

        Raises:
          BundleError: no such seed.
        """
        if not 0 <= seed < self.seeds:
            raise BundleError(f"the bundle holds seeds 0 to {self.seeds - 1}; came {seed}.")
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), self.params)


def save_bundle(
    path: str | Path,
    algorithm: MetaAlgorithm,
    params: PyTree,
    *,
    distribution: AnyDistribution,
    results: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Writes a bundle, whole or not at all. Whenever the process is killed, the old one or the new one is there.

    Args:
      path: of the bundle's folder; an older bundle there is replaced.
      algorithm: that trained the agent.
      params: leaves with a leading axis `[seeds]`.
      distribution: of the tasks it was trained on.
      results: measured results by split, as `Evaluation.summary` gives them, with the digest of each task list.
      command: that trains it again.
    Raises:
      BundleError: the path holds something that is not a bundle.
      OSError: the disk is full, gone or read-only. An older bundle is as it was before.
    """
    path = Path(path)
    if path.exists() and not _is_bundle(path):
        raise BundleError(f"{path} exists and is not a bundle, so it is not replaced. Name another folder.")
    tensors = _tensor_bytes(params)
    card = _identity(algorithm, tensors, distribution) | {
        "results": dict(results or {}),
        "command": command,
        "versions": versions(),
    }
    with whole_folder(path) as building:
        write_new_file(building / "parameters.safetensors", tensors)
        write_new_file(building / "bundle.json", _rendered(card))
    return path


def is_saved(path: str | Path, algorithm: MetaAlgorithm, params: PyTree, *, distribution: AnyDistribution) -> bool:
    """Whether a folder holds a whole bundle of exactly this agent, bit for bit.

    Args:
      path: of the bundle's folder.
      algorithm, params, distribution: as of `save_bundle`.
    """
    tensors = _tensor_bytes(params)
    identity = json.loads(_rendered(_identity(algorithm, tensors, distribution)))
    try:
        card = json.loads(read_regular_file(Path(path) / "bundle.json", most_bytes=CARD.bytes))
        stored = read_regular_file(Path(path) / "parameters.safetensors", most_bytes=len(tensors))
    except (OSError, ValueError, RecursionError):
        return False
    same = isinstance(card, dict) and all(card.get(name) == value for name, value in identity.items())
    return same and isinstance(card.get("results"), dict) and stored == tensors


def _identity(algorithm: MetaAlgorithm, tensors: bytes, distribution: AnyDistribution) -> dict[str, Any]:
    """What a card says of the agent itself."""
    return {
        "format": FORMAT,
        "algorithm": {"name": algorithm.name, "config": plain_settings(algorithm.config)},
        "spec": algorithm.agent.spec.describe(),
        "distribution": {"name": distribution.name, "config": plain_mapping(distribution.config)},
        "parameters_sha256": hashlib.sha256(tensors).hexdigest(),
    }


def _is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle, or what damage has left of one."""
    held = {file.name for file in path.iterdir()} if path.is_dir() else set()
    return "bundle.json" in held or held == {"parameters.safetensors"}


def _tensor_bytes(params: PyTree) -> bytes:
    return render_tensors({name: np.ascontiguousarray(leaf) for name, leaf in _named_leaves(params).items()})


def _rendered(card: dict[str, Any]) -> bytes:
    return (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode()


def load_bundle(path: str | Path, *, algorithm: str | Callable[..., MetaAlgorithm] | None = None) -> Bundle:
    """Reads a bundle and rebuilds its agent. The bundle may come from anybody: nothing in it is run.

    Args:
      path: the bundle's folder, or a run's folder that holds one.
      algorithm: for an agent whose algorithm is not registered, the function `(spec, config)` that makes it, or its
        `path/to/file.py:function`. A file that a bundle names is never run unless it is named here too.
    Raises:
      BundleError: a file is missing, damaged, altered, of another version or no regular file; a size is beyond the limits; or
        parameters and algorithm do not fit. Says what differs.
    """
    path = bundle_folder(path)
    card = read_card(path)
    if algorithm is None and card["algorithm"]["name"] not in algorithms.ALGORITHMS:
        raise unknown_algorithm(card, path)
    maker = algorithm or card["algorithm"]["name"]
    config = algorithm_settings(card, maker, path)

    def make(spec: Spec) -> Agent:
        return algorithms.make(maker, spec, **config).agent

    try:
        config = _settings_of_older_agents(maker) | config
        agent = make(spec_from_description(card["spec"]))
        expected = jax.eval_shape(agent.init, jax.eval_shape(lambda: jax.random.key(0)))
        check_agent_size(agent, expected)
    except Exception as error:  # settings and spaces that no check foresaw may fail anywhere in the algorithm
        said = error if isinstance(error, QuickstudyError) else f"{type(error).__name__}: {error!s:.200}"
        raise BundleError(f"{path}: the algorithm cannot be made again: {said}") from error
    with tensor_file(path / "parameters.safetensors", what="parameters of the bundle") as file:
        _check_tensors(file.tensors, expected, path)
        leaves, digest = file.read()
    if digest != card["parameters_sha256"]:
        raise BundleError(
            f"{path}/parameters.safetensors is not the file that the bundle was saved with: its digest differs. It is "
            "truncated or altered; copy the bundle again."
        )
    check_finite(leaves, path / "parameters.safetensors")
    params = jax.tree.unflatten(jax.tree.structure(expected), [leaves[name] for name in _named_leaves(expected)])
    return Bundle(agent=agent, params=params, card=card, make=make)


def _settings_of_older_agents(algorithm: str | Callable[..., MetaAlgorithm]) -> dict[str, Any]:
    """What agents did before there was a setting for it, so that a card that lacks the setting makes the same agent again."""
    known = plain_settings(algorithms.default_config(algorithm))
    return {name: value for name, value in _BEFORE_THE_SETTING.items() if name in known}


def add_results(path: str | Path, split: str, results: Mapping[str, Any], *, parameters_sha256: str | None = None) -> None:
    """Notes what was measured on a split in a bundle's card.

    Args:
      path: of the bundle's folder.
      split: that was measured on.
      results: as of `save_bundle`.
      parameters_sha256: of the parameters that were measured; None does not compare them.
    Raises:
      BundleError: the folder holds no bundle, or one with other parameters by now.
      OSError: the disk is full, gone or read-only. The card is as it was before.
    """
    path = existing_folder(Path(path))
    with held(path):  # another evaluation may note its results now, or a run may replace the bundle
        card = read_card(path)
        if parameters_sha256 not in (None, card["parameters_sha256"]):
            raise BundleError(
                f"{path} was replaced while it was measured, so the results are not noted in it. Measure it again."
            )
        card["results"][split] = dict(results)
        write_atomically(path / "bundle.json", _rendered(card))


def _named_leaves(tree: PyTree) -> dict[str, Any]:
    """Leaves by their path, as in `network.core.recurrent`."""
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _check_tensors(tensors: Mapping[str, Tensor], expected: PyTree, path: Path) -> None:
    """Compares names, shapes and types with those of the algorithm, and the numbers of seeds with each other."""
    named = _named_leaves(expected)
    if set(named) != set(tensors):
        missing, extra = sorted(set(named) - set(tensors)), sorted(set(tensors) - set(named))
        raise BundleError(f"{path}: parameters and algorithm differ. Missing: {_some(missing)}; not known: {_some(extra)}.")
    for name, leaf in named.items():
        came = tensors[name]
        if len(came.shape) != 1 + len(leaf.shape) or came.shape[1:] != leaf.shape or came.dtype != leaf.dtype:
            wanted, got = f"{leaf.dtype}{list(leaf.shape)}", f"{came.dtype}{list(came.shape[1:])}"
            got = got if came.shape else "a single number, without an axis of seeds"
            raise BundleError(f"{path}: {name} must be {wanted} per seed; came {got}.")
    seeds = sorted({tensor.shape[0] for tensor in tensors.values()})
    if len(seeds) > 1 or seeds[0] < 1:
        raise BundleError(f"{path}: every array must hold the same number of seeds, 1 or more; came {_some(seeds)}.")


def _some(things: list[Any]) -> str:
    """The first few of a list in words, each of them short."""
    shown = ", ".join(f"{thing!s:.100}" for thing in things[:5])
    return f"[{shown}{f', and {len(things) - 5} more' if len(things) > 5 else ''}]"
