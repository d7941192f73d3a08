"""Tables of pages are drawn from the stored measurements, and hold what can be computed again."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(name, monkeypatch):
    """A benchmark as a module; it may import its neighbours."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop("exported", None)
    return module


TABLES = ["exported", "quantised", "microcontroller", "envelope", "real_series", "real_users", "classification_sets"]


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_that_of_the_stored_numbers(name, monkeypatch):
    module = benchmark(name, monkeypatch)
    text, stored = module.PAGE.read_text(), json.loads(module.NUMBERS.read_text())
    assert module.page_with(text, stored) == text
    assert module.page_with(text, _without_one(stored)) != text


def _without_one(stored):
    """The results without the last agent."""
    agents = stored.get("agents", stored)
    fewer = dict(list(agents.items())[:-1])
    return stored | {"agents": fewer} if "agents" in stored else fewer


def test_in_eight_bits_every_agent_of_the_table_earns_what_it_earned(monkeypatch):
    """The stored mean return in 8 bits lies within the stored interval of the trained agent."""
    module = benchmark("quantised", monkeypatch)
    found = [one for one in json.loads(module.NUMBERS.read_text()).values() if "return" in one["int8"]]
    assert len(found) >= 4
    for one in found:
        assert one["float32"]["return"]["low"] <= one["int8"]["return"]["value"] <= one["float32"]["return"]["high"]
        assert one["int8"]["bytes"] < 0.45 * one["float32"]["bytes"]


@pytest.mark.parametrize(("hidden_size", "numbers"), [(16, "int8"), pytest.param(64, "float32", marks=pytest.mark.slow)])
def test_the_stored_bytes_of_weights_are_those_of_today(hidden_size, numbers, monkeypatch, tmp_path):
    module = benchmark("microcontroller", monkeypatch)
    stored = json.loads(module.NUMBERS.read_text())[str(hidden_size)][numbers]
    assert module.written(hidden_size, "int8" if numbers == "int8" else None, tmp_path) == stored["weights"]
