"""The tasks that the record of a run keeps, so that a resumed run cannot continue on other tasks."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.protocol.host_distribution import AnyDistribution, HostDistribution, named_leaves
from quickstudy.protocol.task_distribution import task_hash

_TASKS = 3
_VALUES = 16


def drawn_tasks(distribution: AnyDistribution) -> dict[str, Any]:
    """A few tasks of the splits `train` and `test`, drawn from a fixed key, by the names of their numbers.

    Each has a type, a shape with leading axis `[tasks]`, and at most 16 values, evenly spread. Values are kept rather than a
    hash, because another machine may round otherwise. It is empty where two draws from one key differ.
    """

    def draw(key: PRNGKeyArray) -> PyTree:
        return {split: distribution.sample_tasks(split, key, tasks=_TASKS) for split in ("train", "test")}

    key = jax.random.key(0)
    if isinstance(distribution, HostDistribution):
        tasks = draw(key)
        if task_hash(_without_keys(draw(key))) != task_hash(_without_keys(tasks)):
            return {}
    else:
        # NumPy would end the process if it read an array for which there was no memory. Waiting raises an error instead.
        tasks = jax.block_until_ready(jax.jit(draw)(key))
    return {name: _summary(np.asarray(leaf)) for name, leaf in named_leaves(_without_keys(tasks)).items()}


def _summary(array: np.ndarray) -> dict[str, Any]:
    flat = array.ravel()
    places = np.unique(np.linspace(0, flat.size - 1, min(flat.size, _VALUES)).round().astype(int))
    return {"type": str(array.dtype), "shape": list(array.shape), "values": [flat[place].item() for place in places]}


def _without_keys(tasks: PyTree) -> PyTree:
    is_key = lambda leaf: isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tasks)
