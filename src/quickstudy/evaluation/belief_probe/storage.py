"""A readout on disk: one file of tensors. Its header names the parameters and the networks' shapes; it is never a pickle."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as render_tensors

from quickstudy.evaluation.belief_probe.probe import Readout, Standardisation
from quickstudy.evaluation.belief_probe.targets import TaskParameter
from quickstudy.networks.layers import Perceptron
from quickstudy.protocol.errors import BundleError
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_plain, to_plain

_FORMAT = "2"


def save_readout(path: str | Path, readout: Readout) -> None:
    """Writes a readout to a file, whole or not at all.

    Args:
      path: of the file, as `readout.safetensors`.
      readout: fitted.
    """
    tensors = {name: np.asarray(leaf) for name, leaf in _named(readout)}
    named = to_plain(readout.named)
    header = {"format": _FORMAT, "named": json.dumps(named), "networks": json.dumps(_widths(readout))}
    write_atomically(Path(path), render_tensors(tensors, metadata=header))


def load_readout(path: str | Path) -> Readout:
    """A readout that `save_readout` wrote.

    Raises:
      BundleError: no such file, or not one of these.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: jnp.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read as a readout: {error}. `quickstudy readout RUN` writes one.") from error
    if header.get("format") != _FORMAT:
        raise BundleError(f"{path} is no readout of format {_FORMAT}; came format {header.get('format')!r}.")
    named = tuple(from_plain(TaskParameter, one, where=str(path)) for one in json.loads(header["named"]))
    shell = _shell(named, json.loads(header["networks"]))
    paths = [name for name, _ in _named(shell)]
    if set(paths) != set(tensors):
        raise BundleError(
            f"{path} does not hold the tensors of a readout; missing or not known: {sorted(set(paths) ^ set(tensors))}."
        )
    return jax.tree.unflatten(jax.tree.structure(shell), [tensors[name] for name in paths])


def _named(readout: Readout) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(readout)]


def _widths(readout: Readout) -> list[list[int]]:
    """Numbers that go in, hidden units, numbers that come out, of both networks."""
    nets = (readout.parameter_network, readout.outcome_network)
    return [[*(layer.weight.shape[1] for layer in net.layers), *reversed(net.head.weight.shape)] for net in nets]


def _shell(named: tuple[TaskParameter, ...], widths: list[list[int]]) -> Readout:
    """A readout of the right structure; its numbers are placeholders."""
    key, nothing = jax.random.key(0), jnp.zeros(1)
    parameter_network, outcome_network = (Perceptron(w[0], tuple(w[1:-1]), w[-1], gain=1.0, key=key) for w in widths)
    blank = Standardisation(mean=nothing, deviation=nothing)
    return Readout(
        features=blank,
        observations=blank,
        parameters=blank,
        outcomes=blank,
        parameter_network=parameter_network,
        outcome_network=outcome_network,
        deviation_scale=nothing,
        step_scores=nothing,
        last_steps_scores=nothing,
        task_scores=nothing,
        named=named,
    )
