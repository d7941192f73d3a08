"""The axis of seeds: one seed is a plain call, several are `vmap`, and both mean the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.training.over_seeds import over_seeds


def one_seed(state, scale, key):
    drawn = jax.random.normal(key, (3,))
    return {"state": state["weight"] * scale + drawn.sum(), "drawn": drawn, "key": key}, 2.0


@pytest.mark.parametrize("seeds", [1, 3])
def test_it_means_vmap(seeds):
    keys = jax.random.split(jax.random.key(0), seeds)
    given = {"weight": jnp.arange(seeds * 3, dtype=jnp.float32).reshape(seeds, 3)}, jnp.float32(0.5), keys
    axes = (0, None, 0)
    found, meant = over_seeds(one_seed, axes)(*given), jax.vmap(one_seed, axes)(*given)
    assert jax.tree.structure(found) == jax.tree.structure(meant)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(meant), strict=True):
        assert ours.shape == theirs.shape
        if not jnp.issubdtype(theirs.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_array_equal(jax.random.key_data(found[0]["key"]), jax.random.key_data(keys))


def test_one_seed_adds_no_axis_to_what_is_traced():
    traced = jax.make_jaxpr(over_seeds(lambda state: state @ state, (0,)))(jnp.ones((1, 2, 2)))
    product = next(step for step in traced.eqns if step.primitive.name == "dot_general")
    assert [variable.aval.shape for variable in product.invars] == [(2, 2), (2, 2)]
