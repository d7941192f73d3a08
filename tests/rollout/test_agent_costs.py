"""What is counted of whole agents, and the stored table of it."""

import importlib.util
import json
from pathlib import Path

import jax
import pytest

from quickstudy.programs.counting import Counted
from quickstudy.rollout.agent_costs import agent_cost, nanojoules
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.storage.bundle import load_bundle

ROOT = Path(__file__).parents[2]


def cost_of(name):
    bundle = load_bundle(ROOT / "bundles" / name)
    return agent_cost(with_nonfinite_guard(bundle.agent), bundle.params_of(0))


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("counted_benchmark", ROOT / "benchmarks" / "counted.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_recurrent_agent_costs_what_its_matrices_hold():
    cost = cost_of("quick-n10-k5")
    matrices = [
        leaf.size for leaf in jax.tree.leaves(load_bundle(ROOT / "bundles" / "quick-n10-k5").params_of(0)) if leaf.ndim == 2
    ]
    # A vector passes each matrix once, in one of the two; some hundred products are no layers.
    assert cost.adaptation.multiply_adds + cost.decision.multiply_adds == pytest.approx(sum(matrices), rel=0.02)
    assert cost.adaptation.multiply_adds > 64 * 192  # the recurrent matrix of a GRU of 64 units
    assert cost.cadence == 1
    assert cost.changed == 64
    assert 4 * 64 <= cost.adaptation.bytes_written < 4 * 70


def test_a_sparse_agent_changes_the_part_that_it_says():
    costs = {percent: cost_of(f"navigation-part-{percent}") for percent in (100, 10)}
    assert costs[100].changed > 4000
    assert 0.08 < costs[10].changed / costs[100].changed < 0.13
    assert costs[10].adaptation.multiply_adds < 0.5 * costs[100].adaptation.multiply_adds
    assert costs[100].cadence == 2000


def test_energy_is_the_sum_of_the_published_figures():
    # 1000 products and additions, 1000 additions, 800 bytes in words of 8: 3.7 + 0.9, 0.9, 100 a word.
    counted = Counted(multiply_adds=1000, other=1000, bytes_read=500, bytes_written=300)
    assert nanojoules(counted) == pytest.approx(4.6 + 0.9 + 100 * 100 / 1000)


@pytest.mark.parametrize("name", ["quick-n10-k5", "navigation-maml", "two-arms"])
def test_the_stored_counts_are_those_of_today(name, benchmark):
    assert json.loads(benchmark.NUMBERS.read_text())[name] == benchmark.counted(name)


@pytest.mark.slow
def test_the_stored_counts_of_every_agent_are_those_of_today(benchmark):
    stored = json.loads(benchmark.NUMBERS.read_text())
    assert set(stored) == {path.parent.name for path in benchmark.BUNDLES.glob("*/bundle.json")}
    for name, one in stored.items():
        assert benchmark.counted(name) == one, name


def test_the_page_is_drawn_from_the_stored_counts(benchmark):
    text = benchmark.PAGE.read_text()
    assert benchmark.page_with(text, json.loads(benchmark.NUMBERS.read_text())) == text
