"""The laws that every registered task distribution keeps, and what holds for any settings of it."""

import os

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laws.cases import small, with_suites
from quickstudy.protocol.task_distribution import mark_split, task_hash
from quickstudy.tasks.checks.check import check, fault_lines
from quickstudy.tasks.checks.trees import rows

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", with_suites())
def test_every_law_is_kept(name):
    if small(name).runs_in != "jax" and os.environ.get("QUICKSTUDY_CHECK_ANNOTATIONS"):
        pytest.skip(
            "functions whose annotations are checked do not travel to worker processes; `make test-rest` runs it without"
        )
    faults = [fault for fault in check(small(name)) if not fault.warning]
    assert not faults, "\n".join(fault_lines(faults))


@pytest.mark.parametrize("name", with_suites())
def test_every_baseline_is_made_for_the_same_tasks(name):
    distribution = small(name)
    for make in distribution.baselines.values():
        assert make().spec.describe() == distribution.spec.describe()


@pytest.mark.parametrize("name", with_suites())
def test_the_same_key_gives_the_same_tasks_and_another_gives_others(name):
    distribution = small(name)
    drawn = [task_hash(distribution.sample_tasks("test", jax.random.key(seed), tasks=20)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@QUICK
@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=4),
    splits=st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=16, unique=True),
)
def test_marked_numbers_of_two_splits_never_meet(values, splits):
    marked = [mark_split(np.float32(values), split, tuple(splits)) for split in splits]
    seen = [set(rows(numbers)) for numbers in marked]
    assert sum(map(len, seen)) == len(set().union(*seen))
    for numbers in marked:
        assert np.all((np.asarray(numbers) >= 0) & (np.asarray(numbers) < 1))
        assert np.all(np.abs(np.asarray(numbers) - np.float32(values)) <= 2.0**-16)
