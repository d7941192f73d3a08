"""A readout on disk: one file of tensors. Its header names the parameters and the networks' shapes; it is never a pickle."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save as render_tensors

from quickstudy.evaluation.belief_probe.probe import QUANTILES, Readout, Standardisation
from quickstudy.evaluation.belief_probe.targets import TaskParameter
from quickstudy.networks.layers import Perceptron
from quickstudy.protocol.errors import BundleError, UsageError
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import LARGEST_SETTING, from_plain, to_plain
from quickstudy.storage.reading import DESCRIPTION, parse_json
from quickstudy.storage.tensors import check_finite, tensor_file

_FORMAT = "2"
_MOST_LAYERS = 64


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
    """A readout that `save_readout` wrote. The file may come from anybody: its sizes are compared before it is read.

    Raises:
      BundleError: no such file, not one of these, or of another version; or its parts do not fit each other.
    """
    with tensor_file(path, what="readout") as file:
        shell = _described(file.metadata, str(path))
        expected = dict(_named(shell))
        if set(expected) != set(file.tensors):
            differing = sorted(set(expected) ^ set(file.tensors))
            raise BundleError(f"{path} does not hold the tensors of a readout; missing or not known: {differing[:5]!s:.500}.")
        sizes = {name: file.tensors[f".{name}.mean"].shape for name in ("observations", "outcomes")}
        for name, leaf in expected.items():
            # Only these arrays tell how many numbers an observation and an outcome have.
            shape, came = sizes.get(name.split(".")[1], leaf.shape), file.tensors[name]
            if len(came.shape) != len(leaf.shape) or came.shape != shape or came.dtype != leaf.dtype:
                wanted, got = f"{leaf.dtype}{list(shape)}", f"{came.dtype}{list(came.shape)}"
                raise BundleError(f"{path}: {name[1:]} must be {wanted}; came {got}.")
        _check_outcomes(shell, sizes["observations"][0], sizes["outcomes"][0], str(path))
        tensors, _ = file.read()
    check_finite(tensors, path)
    return jax.tree.unflatten(jax.tree.structure(shell), [jnp.asarray(tensors[name]) for name in expected])


def _described(metadata: Mapping[str, str], path: str) -> Readout:
    """A readout of shapes, as the header of a file describes it."""
    if metadata.get("format") != _FORMAT:
        came = repr(metadata.get("format"))[:80]
        raise BundleError(
            f"{path} is no readout of format {_FORMAT}; came format {came}. Fit it again: quickstudy readout RUN."
        )
    try:
        header = from_plain(_Header, {name: _parsed(metadata, name) for name in ("named", "networks")}, where=path)
    except (UsageError, ValueError) as error:
        raise BundleError(f"{error} It is damaged; fit the readout again: quickstudy readout RUN.") from error
    outputs = sum(_outputs_of(one, path) for one in header.named)
    names = [one.name for one in header.named]
    if not names or len(set(names)) < len(names):
        raise BundleError(f"{path}: it must name one task parameter or more, each once; came {names!s:.200}.")
    for widths in header.networks:
        if not 3 <= len(widths) <= _MOST_LAYERS or not all(1 <= width <= LARGEST_SETTING for width in widths):
            raise BundleError(
                f"{path}: a network must have 3 to {_MOST_LAYERS} widths, each 1 to {LARGEST_SETTING:,}; came {widths!s:.100}."
            )
    if header.networks[0][-1] != outputs:
        raise BundleError(f"{path}: its parameters need {outputs} outputs; its network has {header.networks[0][-1]}.")
    return jax.eval_shape(lambda: _shell(header.named, header.networks))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Header:
    """The parameters, and the widths of both networks."""

    named: tuple[TaskParameter, ...]
    networks: tuple[tuple[int, ...], tuple[int, ...]]


def _parsed(metadata: Mapping[str, str], name: str) -> Any:
    if name not in metadata:
        raise ValueError(f"its header lacks {name}.")
    try:
        return parse_json(metadata[name], limit=DESCRIPTION)
    except ValueError as error:
        raise ValueError(f"{name} in its header does not parse: {error}.") from error


def _outputs_of(parameter: TaskParameter, path: str) -> int:
    """Outputs for a parameter, whose size and choices are checked."""
    sizes = {parameter.size, *(len(choice) for choice in parameter.choices or ())}
    if len(sizes) > 1 or not 1 <= parameter.size <= LARGEST_SETTING or parameter.choices == ():
        raise BundleError(f"{path}: {parameter.name:.80}: its size must be 1 or more, and that of every choice.")
    return parameter.outputs


def _check_outcomes(shell: Readout, observation: int, outcome: int, path: str) -> None:
    """Raises BundleError where the outcome network does not fit the sizes of observations and outcomes."""
    features = shell.features.mean.shape[0]
    inputs, outputs = (net.shape[side] for net, side in (
        (shell.outcome_network.layers[0].weight, 1), (shell.outcome_network.head.weight, 0)
    ))  # fmt: skip
    if inputs <= features + observation or (outputs != 2 * outcome and not (outcome == 1 and outputs > 2)):
        raise BundleError(f"{path}: its outcome network fits no tasks with {observation} numbers in an observation.")


def _named(readout: Readout) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(readout)]


def _widths(readout: Readout) -> list[list[int]]:
    """Numbers that go in, hidden units, numbers that come out, of both networks."""
    nets = (readout.parameter_network, readout.outcome_network)
    return [[*(layer.weight.shape[1] for layer in net.layers), *reversed(net.head.weight.shape)] for net in nets]


def _shell(named: tuple[TaskParameter, ...], widths: Sequence[Sequence[int]]) -> Readout:
    """A readout of the right structure and shapes; its numbers are placeholders. Observations and outcomes have size 1."""
    key = jax.random.key(0)
    parameter_network, outcome_network = (Perceptron(w[0], tuple(w[1:-1]), w[-1], gain=1.0, key=key) for w in widths)
    reals = sum(one.size for one in named if one.choices is None)

    def blank(size: int) -> Standardisation:
        return Standardisation(mean=jnp.zeros(size), deviation=jnp.zeros(size))

    return Readout(
        features=blank(widths[0][0]),
        observations=blank(1),
        parameters=blank(reals),
        outcomes=blank(1),
        parameter_network=parameter_network,
        outcome_network=outcome_network,
        deviation_scale=jnp.zeros(reals),
        step_scores=jnp.zeros(QUANTILES),
        last_steps_scores=jnp.zeros(QUANTILES),
        task_scores=jnp.zeros(QUANTILES),
        named=named,
    )
