"""No normalised score where floor and ceiling nearly coincide, and a sentence that says why."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation import summary
from quickstudy.evaluation.contenders import contender
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.evaluation.measures import Anchors
from quickstudy.evaluation.score_limits import why_no_score
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit


def returns_of(deviation, *, seeds=1, tasks=400):
    """Returns whose mean over seeds has exactly this standard deviation over tasks."""
    values = np.tile([-deviation, deviation], tasks // 2)
    return np.stack([values + 10 * seed for seed in range(seeds)])


def test_the_noise_is_compared_with_the_way_from_floor_to_ceiling():
    anchors = Anchors(floor=np.zeros(400), ceiling=np.ones(400))
    # The half width is 1.96 x 2 / 20 = 0.196.
    assert not why_no_score([returns_of(2.0)], anchors)
    said = why_no_score([returns_of(4.0)], anchors)
    assert "differ by 1.00 only" in said
    assert "known to ±0.392" in said
    assert "25 %" in said
    assert "about 990 tasks" in said  # 400 x (0.392 / 0.25)^2 = 983.4


def test_the_least_noisy_contender_decides_and_training_seeds_do_not_count():
    anchors = Anchors(floor=np.zeros(400), ceiling=np.ones(400))
    assert not why_no_score([returns_of(4.0), returns_of(2.0, seeds=3)], anchors)


def test_a_ceiling_at_the_floor_is_told_and_unknown_anchors_are_not():
    same = np.ones(400)
    assert "not above" in why_no_score([returns_of(0.0)], Anchors(floor=same, ceiling=same))
    assert not why_no_score([returns_of(9.0)], Anchors(floor=None, ceiling=same))


@pytest.mark.parametrize(("nearness", "told"), [pytest.param(1.0, False, marks=pytest.mark.slow), (0.01, True)])
def test_an_evaluation_leaves_out_scores_and_steps_and_keeps_the_regret(nearness, told):
    bandit = bernoulli_bandit(arms=2, pulls=4)

    def near(function):
        return lambda task: bandit.floor(task) + jnp.float32(nearness) * (function(task) - bandit.floor(task))

    tasks = dataclasses.replace(bandit, ceiling=near(bandit.ceiling))
    found = evaluate({"random": contender(tasks.baselines["random"]())}, tasks, split="test", tasks=600)
    result = found.results["random"]
    assert bool(found.no_score) == told
    assert (result.normalised_score is None) == told
    assert bool(result.steps_to) != told
    assert result.regret is not None
    assert any("no normalised scores" in line for line in summary.summary_sentences(found)) == told
    assert type(found).from_json(found.to_json()).no_score == found.no_score
