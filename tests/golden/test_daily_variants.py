"""Gains of the experts of daily variants: those of the table in the documentation, and what the prior of novelty is worth."""

import jax
import numpy as np
import pytest

from quickstudy.baselines.models.daily_variants import DailyVariants
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.daily_variants import daily_variants, persistent_gains

# 2,000 quarters of `test`: the gain less than that of the best persistent variant, and its standard error.
MEASURED = {
    "random": (229.6, 7.8),
    "A/B test (28 days)": (122.9, 3.1),
    "discounted daily Thompson": (97.0, 2.4),
    "Thompson (28 days), then the best": (66.1, 2.6),
    "daily Thompson": (65.5, 1.5),
    "novelty Bayes": (37.6, 1.4),
}
QUARTERS = 500


@pytest.mark.slow
def test_gains_are_those_of_the_table():
    distribution, settings = daily_variants(), DailyVariants()
    agents = {name: distribution.baselines[name]() for name in MEASURED}
    drawn = distribution.sample_tasks("test", jax.random.key(11), tasks=QUARTERS)
    play = lambda task, key: {  # noqa: E731
        name: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward.sum() for name, agent in agents.items()
    }
    # Compiling takes longer than running here, and less at this level.
    run = jax.jit(jax.vmap(play), compiler_options={"xla_backend_optimization_level": 1})
    gained = {name: np.asarray(gains) for name, gains in run(drawn, jax.random.split(jax.random.key(0), QUARTERS)).items()}
    persistent = np.asarray(jax.vmap(lambda task: persistent_gains(task, settings).max())(drawn))
    ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
    assert (ceiling >= persistent - 1e-2).all()
    behind = {name: persistent - gains for name, gains in gained.items()}
    for name, (known, known_error) in MEASURED.items():
        error = behind[name].std(ddof=1) / QUARTERS**0.5
        print(f"{name:34} {behind[name].mean():7.1f} ± {error:.1f}   known {known}")
        assert abs(behind[name].mean() - known) < 4 * np.hypot(error, known_error), name
    for worse in ("A/B test (28 days)", "daily Thompson", "discounted daily Thompson"):
        ahead = behind[worse] - behind["novelty Bayes"]
        assert ahead.mean() > 3 * ahead.std(ddof=1) / QUARTERS**0.5, f"novelty Bayes against {worse}"
