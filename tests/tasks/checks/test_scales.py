"""Advice about bounds that say little, numbers that hardly vary, and ids that are declared as bytes."""

import gymnasium
import numpy as np
import pytest

from quickstudy.tasks.checks.scales import scales

GENERATOR = np.random.default_rng(0)
BOX = gymnasium.spaces.Box
UNIT = GENERATOR.uniform(-1, 1, (200, 3)).astype(np.float32)
IDS = GENERATOR.choice([1, 4, 5], (200, 7, 7, 3)).astype(np.uint8)
PICTURES = GENERATOR.integers(0, 256, (200, 7, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("space", "seen"),
    [
        (BOX(-1, 1, (3,)), UNIT),
        (BOX(-50, 50, (3,)), UNIT),
        (BOX(-np.inf, np.inf, (3,)), UNIT),
        (BOX(0, 255, (7, 7, 3), np.uint8), PICTURES),
        (BOX(0, 1, (7, 7, 3), np.uint8), IDS // 4),
        (gymnasium.spaces.MultiDiscrete(np.full((7, 7, 3), 6)), IDS),
        (BOX(-1e4, 1e4, (3,)), UNIT[:10]),
        (BOX(-1, 1, (3,)), np.zeros((200, 3))),
        (BOX(-1, 1, (3,)), np.full((200, 3), np.nan)),
    ],
)
def test_where_the_space_says_what_it_should_there_is_no_advice(space, seen):
    assert list(scales(space, seen)) == []


@pytest.mark.parametrize("bound", [200.0, 1e4, float(np.finfo(np.float32).max)])
def test_bounds_far_beyond_what_was_seen_are_advised_of(bound):
    (advice,) = scales(BOX(-bound, bound, (3,)), UNIT)
    assert advice.startswith("?the bounds of 3 of 3 numbers")
    assert f"declared are -{bound:.4g} and {bound:.4g}" in advice


def test_small_ids_declared_as_bytes_are_advised_to_be_ids():
    (advice,) = scales(BOX(0, 255, (7, 7, 3), np.uint8), IDS)
    assert "only 3 different numbers, 1 to 5, in uint8[7, 7, 3] up to 255" in advice
    assert "MultiDiscrete(np.full((7, 7, 3), 6), dtype=np.uint8)" in advice


def test_numbers_that_hardly_vary_are_advised_of():
    (advice,) = scales(BOX(-np.inf, np.inf, (3,)), UNIT * [1.0, 1e-6, 1.0])
    assert advice.startswith("?1 of 3 numbers of an observation hardly vary: number 1 has a standard deviation of 5.")
