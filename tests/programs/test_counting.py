"""Operations and bytes, compared with numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.programs.counting import CURVE, Counted, count, used_inputs

X, W = jnp.zeros(4, jnp.float32), jnp.zeros((4, 3), jnp.float32)


def test_a_layer():
    counted = count(lambda x, w, b: jnp.tanh(x @ w + b), X, W, jnp.zeros(3))
    # 4 x 3 products; three additions and three tangents; 4 + 12 + 3 numbers read, three written.
    assert counted == Counted(multiply_adds=12, other=3 + 3 * CURVE, bytes_read=4 * 19, bytes_written=4 * 3)


def test_what_the_outputs_do_not_need_is_left_out():
    def function(x, w):
        unused = jnp.exp(x @ w)
        del unused
        return x + 1, w

    # w comes out as it went in, so nothing of it is written.
    assert count(function, X, W) == Counted(multiply_adds=0, other=4, bytes_read=4 * (4 + 12), bytes_written=4 * 4)
    assert used_inputs(lambda x, w: x.sum(), X, W) == (True, False)


def test_a_loop_counts_as_often_as_it_turns_and_of_a_branch_the_larger_side():
    def loop(x, w):
        return jax.lax.scan(lambda carry, _: (carry + (carry @ w).sum(), None), x, length=5)[0]

    counted = count(loop, X, W)
    assert counted.multiply_adds == 5 * 12
    assert counted.other == 5 * (3 + 4)
    branch = count(lambda x, w: jax.lax.cond(x[0] > 0, lambda: x + 1, lambda: x @ w @ w.T), X, W)
    assert branch.multiply_adds == 24


def test_a_batch_of_products_and_a_convolution():
    batch = count(jax.vmap(jnp.matmul), jnp.zeros((5, 2, 3)), jnp.zeros((5, 3, 4)))
    assert batch.multiply_adds == 5 * 2 * 3 * 4
    image, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 16))
    layout = ("NHWC", "HWIO", "NHWC")
    convolved = count(lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=layout), image, kernel)
    assert convolved.multiply_adds == 6 * 6 * 16 * 3 * 3 * 3


def test_known_arrays_are_read_in_their_own_type():
    held = np.ones((100, 100), np.int8)
    counted = count(lambda x: x @ jnp.asarray(held).astype(jnp.float32), jnp.zeros(100))
    assert counted.bytes_read == 100 * 100 + 4 * 100


def test_what_cannot_be_counted_is_named():
    with pytest.raises(NotImplementedError, match="turns are not known"):
        count(lambda x: jax.lax.while_loop(lambda y: y.sum() < 3, lambda y: y + 1, x), X)
    with pytest.raises(NotImplementedError, match="cholesky is not counted"):
        count(jnp.linalg.cholesky, jnp.eye(3))
