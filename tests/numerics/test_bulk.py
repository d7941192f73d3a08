"""The bulk of many numbers, against quantiles of NumPy, and with a few numbers that are beyond all proportion."""

import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.bulk import bulk, cut_to_bulk

GENERATOR = np.random.default_rng(0)
NORMAL = GENERATOR.standard_normal((1000, 2)).astype(np.float32) * [1.0, 50.0] + [0.0, 1e4]
ALL = np.ones(1000, bool)


def glitched(share, size):
    return np.where(GENERATOR.random((1000, 1)) < share, np.float32(size), np.float32(NORMAL))


def test_the_reach_is_ten_times_a_high_quantile_and_nothing_usual_is_cut():
    centre, reach = bulk(jnp.asarray(NORMAL, jnp.float32), jnp.asarray(ALL))
    ordered = np.sort(np.float32(NORMAL), axis=0)
    np.testing.assert_allclose(centre, ordered[499])
    distance = np.sort(np.abs(np.float32(NORMAL) - ordered[499]), axis=0)
    np.testing.assert_allclose(reach, 10 * distance[989], rtol=1e-4)
    np.testing.assert_array_equal(cut_to_bulk(jnp.asarray(NORMAL, jnp.float32), jnp.asarray(ALL)), np.float32(NORMAL))


@pytest.mark.parametrize("share", [0.002, 0.02, 0.08])
@pytest.mark.parametrize("size", [1e6, -1e20, 3e38])
def test_a_few_huge_numbers_move_the_deviation_by_a_few_units_at_most(share, size):
    cut = cut_to_bulk(jnp.asarray(glitched(share, size)), jnp.asarray(ALL))
    assert jnp.isfinite(jnp.square(cut).sum())
    assert cut[:, 0].std() < 12


def test_a_rare_signal_among_equal_numbers_is_no_outlier():
    rare = np.zeros((1000, 1), np.float32)
    rare[::300] = 5.0
    np.testing.assert_array_equal(cut_to_bulk(jnp.asarray(rare), jnp.asarray(ALL)), rare)


def test_rows_that_do_not_count_are_not_looked_at():
    valid = np.arange(1000) % 2 == 0
    spoilt = np.where(valid[:, None], NORMAL, 1e30).astype(np.float32)
    alone = bulk(jnp.asarray(np.float32(NORMAL[valid])), jnp.ones(500, bool))
    np.testing.assert_allclose(bulk(jnp.asarray(spoilt), jnp.asarray(valid)), alone, rtol=1e-5)
    nothing = bulk(jnp.asarray(spoilt), jnp.zeros(1000, bool))
    np.testing.assert_array_equal(nothing, np.zeros((2, 2)))


def test_one_column_or_many_rows_are_taken_alike():
    many = GENERATOR.standard_normal(50_000).astype(np.float32)
    many[77] = 1e20
    centre, reach = bulk(jnp.asarray(many), jnp.ones(50_000, bool))
    assert abs(centre) < 0.1
    assert 20 < reach < 35
