"""Meta-training that begins with trained parameters rather than with drawn ones.

Only what a deployed agent needs is in a bundle. Everything else begins anew, as in every run: the optimiser's state, critics,
the replay store and the schedules.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.host_distribution import named_leaves
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.storage.bundle import Bundle

_MOST_NAMED = 3


def check_begin(algorithm: MetaAlgorithm, bundle: Bundle, *, seeds: int) -> None:
    """Refuses a bundle that a run cannot begin with.

    Args:
      algorithm: that is to be trained.
      bundle: with the parameters.
      seeds: of the run.
    Raises:
      SpecError: the parameters have other names, shapes or types than those of the algorithm. Says which.
      UsageError: the bundle holds several seeds, but fewer than the run.
    """
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    wanted, held = named_leaves(jax.eval_shape(algorithm.params, state)), named_leaves(bundle.params)
    differing = [
        f"{name} is {_shown(wanted.get(name))} here, {_shown(held.get(name), axes=1)} there"
        for name in wanted | held
        if _shown(wanted.get(name)) != _shown(held.get(name), axes=1)
    ]
    if differing:
        more = f", and {len(differing) - _MOST_NAMED} more" if len(differing) > _MOST_NAMED else ""
        raise SpecError(
            f"{algorithm.name} cannot begin with a bundle of {bundle.card['algorithm']['name']} whose parameters differ from "
            f"its own: {'; '.join(differing[:_MOST_NAMED])}{more}. Give the settings of the network that are in the bundle's "
            "card, bundle.json, and tasks with the same spaces."
        )
    if 1 < bundle.seeds < seeds:
        raise UsageError(
            f"the bundle to begin with holds {bundle.seeds} seeds; came --seeds {seeds}. Use at most {bundle.seeds}. A bundle "
            "of one seed begins any number."
        )
    _places(algorithm, state)


def begun_with(algorithm: MetaAlgorithm, train: PyTree, bundle: Bundle) -> PyTree:
    """Train states that hold the parameters of a bundle; all else stays as it is.

    Seed i begins with seed i of the bundle. A bundle of one seed begins them all.

    Args:
      algorithm: that is trained.
      train: its train states, leaves `[seeds, ...]`, before the first update.
      bundle: that `check_begin` has accepted.
    """
    leaves, structure = jax.tree.flatten(train)
    seeds = leaves[0].shape[0]
    places = _places(algorithm, jax.eval_shape(algorithm.init, jax.random.key(0)))
    for place, given in zip(places, jax.tree.leaves(bundle.params), strict=True):
        # A copy, since the first update takes the memory of the train state.
        leaves[place] = jnp.array(np.broadcast_to(np.asarray(given)[:seeds], leaves[place].shape))
    return jax.tree.unflatten(structure, leaves)


def _places(algorithm: MetaAlgorithm, state: PyTree) -> list[int]:
    """For each leaf of the parameters, which leaf of the train state it is.

    Raises:
      UsageError: `algorithm.params` computes parameters, so that none can be put in.
    """
    program = jax.make_jaxpr(algorithm.params)(state).jaxpr
    inputs = {id(variable): place for place, variable in enumerate(program.invars)}
    found: list[Any] = [inputs.get(id(variable)) for variable in program.outvars]
    if None in found:
        raise UsageError(
            f"{algorithm.name} cannot begin with trained parameters: its `params` computes them from the train state. Let the "
            "train state hold them, so that `params` only picks them out."
        )
    return found


def _shown(leaf: Any, *, axes: int = 0) -> str:
    """Type and shape of a leaf without its first axes, as `float32[5, 8]`."""
    return "missing" if leaf is None else f"{leaf.dtype}{list(leaf.shape[axes:])}"
