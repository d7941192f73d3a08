"""Memory: what is free, what is needed, and how many fit."""

import jax
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.protocol import memory
from quickstudy.protocol.errors import UsageError


def test_free_memory_is_that_of_the_tightest_limit(tmp_path, monkeypatch):
    monkeypatch.delenv(memory.LIMIT_VARIABLE, raising=False)
    group = tmp_path / "group"
    group.mkdir()
    (group / "memory.max").write_text("1000\n")
    (group / "memory.current").write_text("700\n")
    (group / "memory.stat").write_text("anon 500\ninactive_file 100\n")
    assert memory._free_in(group, "memory.max", "memory.current") == 400
    (group / "memory.max").write_text("max\n")
    assert memory._free_in(group, "memory.max", "memory.current") is None
    monkeypatch.setattr(memory, "_available", lambda: 5000)
    monkeypatch.setattr(memory, "_free_in_cgroups", lambda: [None, 400])
    assert memory.free_bytes() == 400
    monkeypatch.setattr(memory, "_free_in_cgroups", lambda: [])
    assert memory.free_bytes() == 5000
    monkeypatch.setattr(memory, "_available", lambda: None)
    assert memory.free_bytes() is None
    memory.check_memory(1e30, what="anything", remedy="Nothing.")  # a system that does not tell refuses nothing


def test_the_variable_replaces_what_is_known(monkeypatch):
    monkeypatch.setenv(memory.LIMIT_VARIABLE, "1.5")
    assert memory.free_bytes() == 1_500_000_000
    for odd in ("", "nan", "inf", "-1", "much"):
        monkeypatch.setenv(memory.LIMIT_VARIABLE, odd)
        assert memory.free_bytes() != 1_500_000_000


def test_shapes_are_counted_without_arrays():
    shapes = jax.eval_shape(lambda key: (jax.random.normal(key, (1000, 1000, 1000)), key), jax.random.key(0))
    assert memory.bytes_of(shapes) == 4 * 10**9 + 8
    assert memory.bytes_of({"a": np.zeros((3, 2), np.float64), "b": np.zeros(4, bool)}) == 52


def test_a_refusal_says_how_much_and_what_to_do(monkeypatch):
    monkeypatch.setenv(memory.LIMIT_VARIABLE, "22")
    memory.check_memory(21e9, what="this", remedy="")
    with pytest.raises(UsageError, match=r"^this needs about 93 GB of memory; 22 GB are free here\. Use less\.$"):
        memory.check_memory(93e9, what="this", remedy="Use less.")


def test_as_many_as_fit():
    assert memory.fitting(128, needed=100.0, free=60.0) == 64
    assert memory.fitting(128, needed=100.0, free=0.1) == 0
    assert memory.fitting(3, needed=1.0, free=100.0) == 3


def test_the_size_of_a_task():
    assert memory.task_bytes(tasks.make("bernoulli-bandit", arms=7)) == 4 * 7
