"""Tables of pages are drawn from stored measurements."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["exported", "envelope"])
def test_a_table_is_that_of_the_stored_numbers(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    text = benchmark.PAGE.read_text()
    assert benchmark.page_with(text, json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())) == text
