"""Tables in blocks, against the same rules step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.addressed_sums import BLOCK, addressed_sums, replaced_sums


@pytest.mark.parametrize("rule", ["count", "forget", "replace"])
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), BLOCK + 1, 3 * BLOCK - 5])
def test_tables_are_those_of_single_steps(steps, rule):
    keys = jax.random.split(jax.random.key(0), 5)
    table = np.asarray(jax.random.normal(keys[0], (2, 3, 4, 5)))
    query, key = (np.asarray(jax.random.normal(k, (steps, 2, 3, 4))) / 2 for k in keys[1:3])
    value = np.asarray(jax.random.normal(keys[3], (steps, 2, 5)))
    gate = np.asarray(jax.random.uniform(keys[4], (steps, 2, 3), minval=0.5))
    last, read = {
        "count": lambda: addressed_sums(table, query, key, value),
        "forget": lambda: addressed_sums(table, query, key, value, jnp.log(gate)),
        "replace": lambda: replaced_sums(table, query, key, value, gate),
    }[rule]()
    for t in range(steps):
        np.testing.assert_allclose(read[t], np.einsum("lha,lhav->lhv", query[t], table), rtol=1e-3, atol=1e-3)
        stored = np.broadcast_to(value[t][:, None], (2, 3, 5))
        if rule == "forget":
            table = gate[t][..., None, None] * table
        if rule == "replace":
            stored = gate[t][..., None] * (stored - np.einsum("lha,lhav->lhv", key[t], table))
        table = table + key[t][..., None] * stored[:, :, None]
    np.testing.assert_allclose(last, table, rtol=1e-3, atol=1e-3)
