import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_distributions import corridor
from quickstudy.protocol.errors import TaskDistributionError, UnknownNameError
from quickstudy.protocol.task_distribution import mark_split, task_hash

SPLITS = ("train", "test", "ood:far")


def test_an_unknown_split_is_turned_away_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        corridor().sample_tasks("tst", jax.random.key(0), tasks=2)


@pytest.mark.parametrize("splits", [("train",), ("test",), ("train", "test", "validation"), ("train", "test", "ood:")])
def test_splits_are_named_for_what_they_are(splits):
    with pytest.raises(TaskDistributionError):
        dataclasses.replace(corridor(), splits=splits)


def test_tasks_are_stacked():
    tasks = corridor().sample_tasks("test", jax.random.key(0), tasks=7)
    assert tasks.right.shape == tasks.number.shape == (7,)


def test_marking_moves_a_number_by_less_than_its_grid():
    values = jnp.array([0.0, 0.3, 0.999999, 1.0])
    for split in SPLITS:
        marked = np.asarray(mark_split(values, split, SPLITS), np.float64)
        # 16 cells for splits within each of 2^16 cells; exact in float32.
        assert np.all(marked * 2**20 % 16 == SPLITS.index(split))
        assert np.all(np.abs(marked - values) <= 2.0**-16)
        assert np.all(marked < 1)


def test_more_splits_than_marks_are_turned_away():
    with pytest.raises(TaskDistributionError, match="at most 16"):
        mark_split(jnp.zeros(1), "0", tuple(map(str, range(17))))


def test_a_hash_tells_values_types_shapes_and_names_apart():
    lists = [
        {"a": np.float32([1, 2])},
        {"a": np.float32([2, 1])},
        {"a": np.int32([1, 2])},
        {"a": np.float32([[1, 2]])},
        {"b": np.float32([1, 2])},
    ]
    assert len({task_hash(tasks) for tasks in lists}) == len(lists)
    assert task_hash(lists[0]) == task_hash({"a": jnp.array([1.0, 2.0])})
