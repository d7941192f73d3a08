"""Two arms of p and 1 - p: the exact optimum by another way, and the classical agents measured against it."""

import functools

import jax
import numpy as np
import pytest

from golden.test_bandit_baselines import play_lifetimes, standard_error
from quickstudy.baselines.bandits.dependent_arms import exact_regret_of_dependent_arms
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit
from quickstudy.tasks.bandits.dependent import BETTER_ARM, dependent_bandit

BETTER = {"uniform": None} | BETTER_ARM
# Expected regret over 100 pulls; simulated on 20,000 bandits, but for the optimum.
MEASURED = {
    "uniform": {"Gittins index": 1.59, "UCB1": 1.56, "Thompson sampling": 2.79, "greedy": 2.20},
    "easy": {"Gittins index": 0.80, "UCB1": 0.72, "Thompson sampling": 2.13, "greedy": 0.64},
    "medium": {"Gittins index": 1.40, "UCB1": 1.31, "Thompson sampling": 3.01, "greedy": 1.89},
    "hard": {"Gittins index": 2.97, "UCB1": 3.11, "Thompson sampling": 4.08, "greedy": 4.75},
}
EXACT = {"uniform": 1.22136, "easy": 0.625, "medium": 1.0, "hard": 2.31208}


def best_by_recursion(prior, pulls):
    """Expected successes of the best policy: a recursion over both arms' own counts, for a prior of points `(p, weight)`."""

    @functools.cache
    def value(left, *counts):
        if left == 0:
            return 0.0
        won, lost, won_other, lost_other = counts
        weights = [w * p ** (won + lost_other) * (1 - p) ** (lost + won_other) for p, w in prior]
        mean = sum(w * p for w, (p, _) in zip(weights, prior, strict=True)) / sum(weights)
        worths = []
        for arm, chance in ((0, mean), (2, 1 - mean)):
            after = [value(left - 1, *(c + (i == arm + failed) for i, c in enumerate(counts))) for failed in (0, 1)]
            worths.append(chance * (1 + after[0]) + (1 - chance) * after[1])
        return max(worths)

    return value(pulls, 0, 0, 0, 0)


@pytest.mark.parametrize("difficulty", BETTER_ARM)
def test_no_exploring_beats_the_greedy_sum(difficulty):
    better = BETTER_ARM[difficulty]
    optimum = best_by_recursion(((better, 0.5), (1 - better, 0.5)), 10)
    assert exact_regret_of_dependent_arms(10, better=better) == pytest.approx(10 * better - optimum, abs=1e-9)


@pytest.mark.parametrize("pulls", [10, 100])
def test_uniform_optimum_by_the_counts(pulls):
    # After n pulls every count of evidence is equally likely, and the better arm pays (max(a, b) + 1) / (n + 2).
    optimum = sum((max(a, n - a) + 1) / (n + 2) / (n + 1) for n in range(pulls) for a in range(n + 1))
    assert exact_regret_of_dependent_arms(pulls, better=None) == pytest.approx(0.75 * pulls - optimum, abs=1e-9)


@pytest.mark.parametrize("difficulty", EXACT)
def test_exact_regret(difficulty):
    assert exact_regret_of_dependent_arms(100, better=BETTER[difficulty]) == pytest.approx(EXACT[difficulty], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", ["hard", "uniform", "easy", "medium"])
def test_regrets_are_the_known_ones(difficulty):
    distribution, bandits = dependent_bandit(difficulty=difficulty), 2_000
    names = [*MEASURED[difficulty], "Bayes optimum (exact)"]
    measured = play_lifetimes(
        {name: distribution.baselines[name]() for name in names}, distribution, bandits=bandits, key=jax.random.key(1)
    )
    optimum = measured["Bayes optimum (exact)"][1]
    assert abs(optimum.mean() - EXACT[difficulty]) < 3 * standard_error(optimum)
    for name, expected in MEASURED[difficulty].items():
        _, regrets = measured[name]
        error = np.hypot(standard_error(regrets), regrets.std() / 20_000**0.5)
        print(f"{difficulty:8} {name:22} {regrets.mean():.3f} ± {standard_error(regrets):.3f}")
        assert abs(regrets.mean() - expected) < 3 * error + 0.005, name
        assert (optimum - regrets).mean() <= 3 * standard_error(optimum - regrets), name


def test_agents_may_change_between_dependent_and_independent_arms():
    assert dependent_bandit(pulls=20).spec.describe() == bernoulli_bandit(arms=2, pulls=20).spec.describe()


def test_the_arms_hang_together_as_each_split_says():
    distribution = dependent_bandit(difficulty="easy")
    assert distribution.splits == ("train", "test", "ood:uniform", "ood:medium", "ood:hard", "ood:independent-arms")
    for split, better in {"train": 0.9, "test": 0.9, "ood:medium": 0.75, "ood:hard": 0.6}.items():
        probability = np.asarray(distribution.sample_tasks(split, jax.random.key(0), tasks=200).probability)
        np.testing.assert_allclose(probability.sum(1), 1.0, atol=1e-6)
        np.testing.assert_allclose(probability.max(1), better, atol=2.0**-15)
        assert 0.3 < (probability[:, 0] > 0.5).mean() < 0.7
    independent = np.asarray(distribution.sample_tasks("ood:independent-arms", jax.random.key(0), tasks=2_000).probability)
    assert abs(np.corrcoef(independent.T)[0, 1]) < 0.1
