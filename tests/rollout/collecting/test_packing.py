"""What crosses between a compiled program and Python is the same on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.rollout.collecting.packing import Packing

TREES = {
    "float32": np.float32([[0.1, -0.0, np.inf], [np.nan, 1e-45, 3e38]]),
    "int32": np.int32([-(2**31), -1, 0, 2**31 - 1]),
    "uint32": np.uint32([0, 2**31, 2**32 - 1]),
    "bool": np.array([True, False, True]),
    "uint8": np.uint8([[0, 127], [128, 255]]),
    "int8": np.int8([-128, -1, 0, 127]),
    "int16": np.int16([-(2**15), 2**15 - 1]),
    "float16": np.float16([0.1, -65504.0, np.nan]),
    "bfloat16": np.array([0.1, -3e38, np.inf], jnp.bfloat16),
    "a number": np.float32(0.1),
    "a truth value": np.bool_(True),
    "no numbers": np.zeros((0, 3), np.float32),
    "an empty tree": {},
    "many": {
        "action": np.int32(-7),
        "policy": (np.float32([0.25, 0.75]), [np.bool_(False), np.uint8(200)]),
        "nothing": None,
        "last": np.float32([[1.5]]),
    },
}


@pytest.mark.parametrize("name", TREES)
def test_what_is_packed_comes_out_bit_by_bit(name):
    tree = TREES[name]
    packing = Packing(tree)
    row = np.asarray(jax.jit(packing.pack)(tree))
    assert (row.dtype, row.shape) == (np.uint32, (packing.words,))
    assert packing.words == sum(np.size(leaf) for leaf in jax.tree.leaves(tree))
    back = packing.unpack(row)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for ours, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert (ours.dtype, ours.shape) == (np.asarray(theirs).dtype, np.shape(theirs))
        assert ours.tobytes() == np.asarray(theirs).tobytes()


def test_many_rows_are_unpacked_at_once_whatever_stands_before_them():
    tree = {"number": jnp.arange(6.0).reshape(2, 3), "flag": jnp.array([True, False])}
    packing = Packing(jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[0], tree)))
    rows = np.asarray(jax.vmap(packing.pack)(tree))
    np.testing.assert_array_equal(packing.unpack(rows)["number"], tree["number"])
    back = packing.unpack(np.stack([rows, rows[::-1]]))
    assert back["number"].shape == (2, 2, 3)
    np.testing.assert_array_equal(back["flag"], [[True, False], [False, True]])
