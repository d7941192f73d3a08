"""The cores that a process may use, on every system."""

import os

import pytest

from quickstudy.protocol.machine import usable_cores
from quickstudy.rollout.collecting import pool
from quickstudy.rollout.collecting.config import CollectingConfig


def test_cores_that_the_process_is_bound_to_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3


@pytest.mark.parametrize(("found", "counted"), [(8, 8), (None, 1)])
def test_macos_and_windows_have_no_affinity_and_count_all_cores(found, counted, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert usable_cores() == counted


@pytest.mark.parametrize(("asked", "started"), [(0, 5), (2, 2)])
def test_without_affinity_there_is_a_worker_for_each_core(asked, started, monkeypatch):
    """Which there was not: a default of one worker on macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    counts = []
    monkeypatch.setattr(pool, "WorkerPool", lambda distribution, spawn, *, workers: counts.append(workers))
    pool.open_pool(None, CollectingConfig(workers=asked))
    assert counts == [started]
