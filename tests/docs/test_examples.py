from pathlib import Path

import jax
import numpy as np

from quickstudy import tasks
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks.check import check

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_tasks.py"


def test_the_example_keeps_the_laws():
    assert check(tasks.make(f"{EXAMPLE}:make"), samples=1000) == []


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
