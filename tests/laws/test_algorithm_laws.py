"""What every meta-training algorithm keeps, found by tracing alone: nothing is compiled.

With annotations checked, as `make test` runs the laws, this also holds every function of an update to its annotations.
"""

import jax
import jax.numpy as jnp
import pytest

from laws.cases import ALGORITHM_CASES, SLOW
from quickstudy import algorithms
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS
from quickstudy.training.sources import source_for


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=[pytest.mark.slow] if label in SLOW else []) for label in ALGORITHM_CASES]
)
def test_an_update_keeps_the_structure_of_its_state(label):
    name, config, make_distribution = ALGORITHM_CASES[label]
    distribution = make_distribution()
    algorithm = algorithms.make(name, distribution.spec, **config)
    source = source_for(algorithm, distribution, tasks=2)

    def two_states(key):
        state = algorithm.init(key)

        def update(state, keys):
            _, lifetimes = source.next(source.initial(), algorithm.params(state), (), keys)
            return algorithm.update(state, lifetimes.given, jnp.float32(0.5), key)

        one_device = jax.vmap(update, axis_name=LIFETIMES_AXIS)
        keys = jax.random.split(key, algorithm.lifetimes)
        after, metrics = one_device(*jax.tree.map(lambda leaf: leaf[None], (state, keys)))
        return state, jax.tree.map(lambda leaf: leaf[0], (after, metrics))

    state, (after, metrics) = jax.eval_shape(two_states, jax.random.key(0))
    assert jax.tree.structure(state) == jax.tree.structure(after)
    assert jax.tree.leaves(state) == jax.tree.leaves(after)
    assert "loss" in metrics
    assert all(metric.shape == () for metric in metrics.values())
