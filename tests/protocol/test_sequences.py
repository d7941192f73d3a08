"""Time keeps its order through every reshaping."""

import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.sequences import chunks, flatten_chunks, scan, shift_right


def test_chunks_keep_time_in_order_and_join_again():
    time = jnp.arange(12)
    cut = chunks({"t": time}, length=4)
    np.testing.assert_array_equal(cut["t"], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    np.testing.assert_array_equal(flatten_chunks(cut)["t"], time)


def test_shift_right_gives_what_stood_before():
    np.testing.assert_array_equal(shift_right(jnp.int32(-1), jnp.arange(4)), [-1, 0, 1, 2])


def test_a_scan_of_one_step_is_a_scan():
    carry, ys = scan(lambda c, x: (c + x, c * x), jnp.float32(3), jnp.array([2.0]))
    assert carry == 5
    np.testing.assert_array_equal(ys, [6.0])
