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
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as render_tensors

from quickstudy import algorithms, tasks
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import BundleError, QuickstudyError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Spec, spec_from_description
from quickstudy.protocol.settings import flat_settings
from quickstudy.rollout.compiled import check_fit
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.run_folder import versions

_FORMAT = 1
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
        """
        trained_on, settings = self.card["distribution"]["name"], self.card["distribution"]["config"]
        if on is None and trained_on not in tasks.DISTRIBUTIONS:
            raise UsageError(
                f"the tasks came from {trained_on!r}, a file that is run only if you name it: --on {trained_on} on the command "
                f"line, on={trained_on!r} in Python."
            )
        return on or trained_on, dict(settings) if on in (None, trained_on) else {}

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
        return tasks.make(name, **(trained_with | settings))

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
    """Writes a bundle, whole or not at all.

    Args:
      path: of the bundle's folder; an older bundle there is replaced.
      algorithm: that trained the agent.
      params: leaves with a leading axis `[seeds]`.
      distribution: of the tasks it was trained on.
      results: measured results by split, as `Evaluation.summary` gives them, with the digest of each task list.
      command: that trains it again.
    Raises:
      BundleError: the path holds something that is not a bundle.
    """
    path = Path(path)
    if path.exists() and not (path / "bundle.json").is_file():
        raise BundleError(f"{path} exists and is not a bundle, so it is not replaced. Name another folder.")
    tensors = render_tensors({name: np.ascontiguousarray(leaf) for name, leaf in _named_leaves(params).items()})
    card = {
        "format": _FORMAT,
        "algorithm": {"name": algorithm.name, "config": flat_settings(algorithm.config)},
        "spec": algorithm.agent.spec.describe(),
        "distribution": {"name": distribution.name, "config": dict(distribution.config)},
        "parameters_sha256": hashlib.sha256(tensors).hexdigest(),
        "results": dict(results or {}),
        "command": command,
        "versions": versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        write_atomically(temporary / "parameters.safetensors", tensors)
        write_atomically(temporary / "bundle.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        temporary.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return path


def load_bundle(path: str | Path, *, algorithm: str | Callable[..., MetaAlgorithm] | None = None) -> Bundle:
    """Reads a bundle and rebuilds its agent.

    Args:
      path: the bundle's folder, or a run's folder that holds one.
      algorithm: for an agent whose algorithm is not registered, the function `(spec, config)` that makes it, or its
        `path/to/file.py:function`. A file that a bundle names is never run unless it is named here too.
    Raises:
      BundleError: a file is missing, damaged or altered, or parameters and algorithm do not fit; says what differs.
    """
    path = Path(path)
    if not (path / "bundle.json").is_file() and (path / "bundle" / "bundle.json").is_file():
        path = path / "bundle"
    card = _read_card(path)
    leaves = _read_parameters(path, card["parameters_sha256"])
    name, config = card["algorithm"]["name"], card["algorithm"]["config"]
    if algorithm is None and name not in algorithms.ALGORITHMS:
        raise BundleError(
            f"{path}: its algorithm {name!r} is not one of quickstudy's ({', '.join(algorithms.ALGORITHMS)}). If it is a file "
            f"that you trust, name it: algorithm={name!r}, or --algorithm {name} on the command line."
        )

    def make(spec: Spec) -> Agent:
        return algorithms.make(algorithm or name, spec, **config).agent

    try:
        config = _settings_of_older_agents(algorithm or name) | config
        agent = make(spec_from_description(card["spec"]))
    except QuickstudyError as error:
        raise BundleError(f"{path}: the algorithm cannot be made again: {error}") from error
    return Bundle(agent=agent, params=_fill(agent, leaves, path), card=card, make=make)


def _settings_of_older_agents(algorithm: str | Callable[..., MetaAlgorithm]) -> dict[str, Any]:
    """What agents did before there was a setting for it, so that a card that lacks the setting makes the same agent again."""
    known = flat_settings(algorithms.default_config(algorithm))
    return {name: value for name, value in _BEFORE_THE_SETTING.items() if name in known}


def add_results(path: str | Path, split: str, results: Mapping[str, Any]) -> None:
    """Notes what was measured on a split in a bundle's card."""
    path = Path(path)
    card = _read_card(path)
    card["results"][split] = dict(results)
    write_atomically(path / "bundle.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def _read_parameters(path: Path, sha256: str) -> dict[str, np.ndarray]:
    try:
        tensors = (path / "parameters.safetensors").read_bytes()
    except OSError as error:
        raise BundleError(f"{path}/parameters.safetensors cannot be read: {error.strerror}.") from error
    if hashlib.sha256(tensors).hexdigest() != sha256:
        raise BundleError(
            f"{path}/parameters.safetensors ({len(tensors)} bytes) is not the file that the bundle was saved with: its digest "
            "differs. It is truncated or altered; copy the bundle again."
        )
    try:
        return parse_tensors(tensors)
    except SafetensorError as error:
        raise BundleError(f"{path}/parameters.safetensors does not parse: {error}.") from error


def _read_card(path: Path) -> dict[str, Any]:
    if not (path / "bundle.json").is_file():
        raise BundleError(f"{path} is not a bundle: it holds no bundle.json.")
    try:
        card = json.loads((path / "bundle.json").read_text())
        missing = {"format", "algorithm", "spec", "parameters_sha256", "results"} - set(card)
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path}/bundle.json does not parse: {error}. Copy the bundle again.") from error
    if missing:
        raise BundleError(f"{path}/bundle.json lacks {', '.join(sorted(missing))}. Copy the bundle again.")
    if card["format"] != _FORMAT:
        raise BundleError(f"{path} has format {card['format']}; this version reads format {_FORMAT}.")
    return card


def _named_leaves(tree: PyTree) -> dict[str, Any]:
    """Leaves by their path, as in `network.core.recurrent`."""
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _fill(agent: Agent, leaves: dict[str, np.ndarray], path: Path) -> PyTree:
    """The parameters' tree with its leaves from disk, each checked for name, shape and type."""
    expected = jax.eval_shape(agent.init, jax.eval_shape(lambda: jax.random.key(0)))
    named = _named_leaves(expected)
    if set(named) != set(leaves):
        missing, extra = sorted(set(named) - set(leaves)), sorted(set(leaves) - set(named))
        raise BundleError(f"{path}: parameters and algorithm differ. Missing: {missing}; not known: {extra}.")
    for name, leaf in named.items():
        came = leaves[name]
        if came.shape[1:] != leaf.shape or came.dtype != leaf.dtype:
            wanted, got = f"{leaf.dtype}{list(leaf.shape)}", f"{came.dtype}{list(came.shape[1:])}"
            raise BundleError(f"{path}: {name} must be {wanted} per seed; came {got}.")
    return jax.tree.unflatten(jax.tree.structure(expected), [leaves[name] for name in named])
