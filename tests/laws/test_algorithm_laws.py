"""What meta-training keeps with every algorithm, found by tracing alone: nothing is compiled.

With annotations checked, as `make test` runs the laws, this also holds every function of an update to its annotations.
"""

import jax
import jax.numpy as jnp
import pytest

from laws.cases import ALGORITHM_CASES, LIKE_MAML, SLOW_UPDATES
from marks import slow_but
from quickstudy import algorithms
from quickstudy.training.sources import source_for
from quickstudy.training.update import initial_state, update_program

QUICK = [label for label in ALGORITHM_CASES if label not in SLOW_UPDATES and not label.startswith(LIKE_MAML)]


@pytest.mark.parametrize("label", slow_but(QUICK, ALGORITHM_CASES))
def test_an_update_keeps_the_structure_of_its_state(label):
    name, config, make_distribution = ALGORITHM_CASES[label]
    distribution = make_distribution()
    algorithm = algorithms.make(name, distribution.spec, **config)
    source = source_for(algorithm, distribution, tasks=1)
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    state = jax.eval_shape(lambda: initial_state(algorithm, source, roots))
    program = update_program(algorithm, source)
    after, metrics = jax.eval_shape(program, state, (), roots, jnp.uint32(0), jnp.float32(0.5))
    assert jax.tree.structure(state) == jax.tree.structure(after)
    describe = lambda tree: [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]  # noqa: E731
    assert describe(state) == describe(after)
    assert "loss" in metrics
    assert all(metric.shape == (1,) for metric in metrics.values())
