"""A run that takes seconds: a small agent on bandits of two arms."""

import pytest

from quickstudy import algorithms, tasks


@pytest.fixture(scope="module")
def distribution():
    return tasks.make("bernoulli-bandit", arms=2, pulls=5)


@pytest.fixture(scope="module")
def algorithm(distribution):
    return algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
