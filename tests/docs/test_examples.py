import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks.check import check

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_tasks.py"
SLOWER = ("page_variants", "drifting_arms", "arm_with_load")


def test_the_example_keeps_the_laws():
    assert check(tasks.make(f"{EXAMPLE}:make"), samples=1000) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOWER)
def test_the_examples_of_the_walk_throughs_keep_the_laws(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert [fault for fault in check(tasks.make(f"examples/{name}.py:make"), samples=1000) if not fault.warning] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOWER[:2])
def test_random_actions_earn_the_floor(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = tasks.make(f"examples/{name}.py:make")
    agent = random_agent(distribution.spec)
    returns = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward.sum()))
    drawn = distribution.sample_tasks("test", jax.random.key(0), tasks=500)
    found = np.asarray(returns(drawn, jax.random.split(jax.random.key(1), 500)))
    difference = found - np.asarray(jax.vmap(distribution.floor)(drawn))
    assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5


def test_the_fit_finds_the_differences_that_a_table_was_made_with(monkeypatch):
    """Tests of 20,000 visitors a cell, with known standard deviations in log-odds."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    module = importlib.import_module("page_variants")
    draws, (tests, variants, segments) = np.random.default_rng(0), (400, 4, 3)
    odds = np.array([-3.0, -2.5, -2.0]) + sum(
        deviation * draws.normal(size=shape)
        for deviation, shape in ((0.3, (tests, 1, 1)), (0.2, (tests, variants, 1)), (0.1, (tests, variants, segments)))
    )
    visitors = np.full(odds.shape, 20_000)
    counts = np.stack([visitors, draws.binomial(visitors, 1 / (1 + np.exp(-odds)))]).astype(float)
    means, deviations = module.fit(counts)
    np.testing.assert_allclose(means, [-3.0, -2.5, -2.0], atol=0.06)
    np.testing.assert_allclose(deviations, [0.3, 0.2, 0.1], atol=0.03)
    few = np.full(odds.shape, 1_000)  # the noise of counting is then as large as the smallest difference
    counts = np.stack([few, draws.binomial(few, 1 / (1 + np.exp(-odds)))]).astype(float)
    np.testing.assert_allclose(module.fit(counts)[1], [0.3, 0.2, 0.1], atol=0.05)


def test_a_table_that_lacks_a_combination_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    module = importlib.import_module("page_variants")
    (tmp_path / "two.csv").write_text(
        "test,variant,segment,visitors,conversions\n1,A,phone,100,3\n1,B,phone,100,4\n1,A,desktop,100,5\n"
    )
    with pytest.raises(ValueError, match="Leave out the tests that lack one"):
        module.read_table(tmp_path / "two.csv")


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 60


def test_a_random_season_earns_the_floor():
    shops = tasks.make(f"{EXAMPLE}:make", weeks=5)
    agent = random_agent(shops.spec)
    seasons = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, shops, (), task, key)[0].outcome.reward.sum()))
    drawn = shops.sample_tasks("test", jax.random.key(0), tasks=4000)
    earned = np.asarray(seasons(drawn, jax.random.split(jax.random.key(1), 4000)))
    expected = np.asarray(jax.vmap(shops.floor)(drawn))
    difference = earned - expected
    assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5
