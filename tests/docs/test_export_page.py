"""The table of the page on export is drawn from the stored measurement."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_stored_numbers():
    spec = importlib.util.spec_from_file_location("exported_benchmark", ROOT / "benchmarks" / "exported.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    text = benchmark.PAGE.read_text()
    assert benchmark.page_with(text, json.loads(benchmark.NUMBERS.read_text())) == text
