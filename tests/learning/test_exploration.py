"""An action that pays only later: with the default entropy bonus it is not found, with a larger one it is."""

import jax
import pytest

from learning.probes import grade, pays_later
from learning.test_probes import RL2, lived
from quickstudy import algorithms
from quickstudy.training.loop import TrainingConfig, meta_train

SEEDS = 3


def scores(cell, **settings):
    """The score of every seed; 0 is the best search that never asks, 1 is the optimum."""
    probe = pays_later()
    algorithm = algorithms.make("rl2", probe.distribution.spec, **(RL2 | {"cell": cell}), **settings)
    config = TrainingConfig(budget=f"{probe.steps} steps", seeds=SEEDS, held_out_tasks=8, evaluation_seconds=600.0)
    run = meta_train(algorithm, probe.distribution, config)
    params = [jax.tree.map(lambda leaf, seed=seed: leaf[seed], run.params) for seed in range(SEEDS)]
    found = [probe.score(lived(algorithm.agent, probe.distribution, one)) for one in params]
    print(f"{cell} {settings}: scores {found} in {run.seconds:.1f} s")
    return found


@pytest.mark.learning
@pytest.mark.parametrize("cell", ["gru", "linear"])
def test_a_larger_entropy_bonus_finds_what_pays_later(cell):
    assert [grade(score) for score in scores(cell, entropy_bonus=0.5)] == ["optimal"] * SEEDS


@pytest.mark.learning
def test_with_the_default_bonus_training_settles_on_the_search():
    # Near 0, not far below it: the search itself is learned.
    assert all(-0.1 < score < 0.1 for score in scores("gru"))
