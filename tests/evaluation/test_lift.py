"""Lift and the probability of being best, on returns whose answers are known."""

import numpy as np
import pytest

from quickstudy.evaluation.lift import lift_of, probabilities_of_being_best
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws

TASKS = statistics.draw_counts(50, resamples=200, seed=0)
DRAWS = Draws(seeds=np.ones((200, 1), np.float32), tasks=TASKS)


def lift(ours, theirs):
    each = [np.asarray(values, float)[None] for values in (ours, theirs)]
    return lift_of(*each, *(statistics.resampled_means(values, DRAWS) for values in each))


def test_a_constant_factor_is_the_lift_in_every_resample():
    theirs = np.random.default_rng(1).uniform(1, 2, 50)
    found = lift(1.12 * theirs, theirs)
    assert [found.value, found.low, found.high] == pytest.approx([0.12] * 3, rel=1e-4)


def test_there_is_no_lift_over_a_return_that_may_be_zero():
    assert lift(np.ones(50), np.zeros(50)) is None
    assert lift(np.ones(50), -np.ones(50)) is None
    assert lift(np.ones(50), np.where(np.arange(50) == 0, 1.0, 0.0)) is None  # some resamples miss the one task that pays


def test_probabilities_of_being_best_add_up_to_one():
    generator = np.random.default_rng(2)
    returns = {"good": generator.normal(5.0, 1, (1, 50)), "near": generator.normal(4.9, 1, (1, 50)), "bad": np.zeros((1, 50))}
    found = probabilities_of_being_best(returns, dict.fromkeys(returns, DRAWS))
    assert sum(found.values()) == pytest.approx(1)
    assert found["bad"] == 0
    alike = probabilities_of_being_best(dict.fromkeys("abcd", returns["bad"]), dict.fromkeys("abcd", DRAWS))
    assert list(alike.values()) == [0.25] * 4
