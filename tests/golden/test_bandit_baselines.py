"""The classical bandit agents against what is known of them.

Duan et al. 2016, table 1 gives means over 1,000 bandits; the values here come from independent simulations of the same
methods over at least 3,000 bandits, and, where it says exact, from dynamic programming.
"""

import jax
import numpy as np
import pytest

from quickstudy.baselines.bandits.bayes_optimal import exact_reaches, exact_value
from quickstudy.baselines.bandits.ucb1 import ucb1_agent
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit

BANDITS = {10: 20_000, 100: 4_000, 500: 2_000}
REFERENCE_BANDITS = {10: 20_000, 100: 10_000, 500: 3_000}

# (pulls, arms): mean lifetime return.
REFERENCE = {
    (10, 5): {"random": 5.0, "Gittins index": 6.64, "Thompson sampling": 5.83, "UCB1": 6.67, "greedy": 6.57},
    (10, 10): {"random": 5.0, "Gittins index": 6.71, "Thompson sampling": 5.58, "UCB1": 6.71, "greedy": 6.59},
    (10, 50): {"random": 5.0, "Gittins index": 6.68, "Thompson sampling": 5.15, "UCB1": 6.70, "greedy": 6.61},
    (100, 5): {"random": 50.0, "Gittins index": 78.61, "Thompson sampling": 75.04, "UCB1": 78.57, "greedy": 75.05},
    (100, 10): {"random": 50.0, "Gittins index": 83.67, "Thompson sampling": 77.12, "UCB1": 83.29, "greedy": 78.05},
    (100, 50): {"random": 50.0, "Gittins index": 85.15, "Thompson sampling": 64.51, "UCB1": 84.81, "greedy": 78.12},
    (500, 5): {"random": 250.0, "Gittins index": 407.7, "Thompson sampling": 401.8, "UCB1": 407.4, "greedy": 383.8},
    (500, 10): {"random": 250.0, "Gittins index": 442.1, "Thompson sampling": 430.6, "UCB1": 439.2, "greedy": 400.8},
    (500, 50): {"random": 250.0, "Gittins index": 463.3, "Thompson sampling": 426.5, "UCB1": 457.1, "greedy": 403.1},
}  # fmt: skip

# Expected regret over 100 pulls of two arms; UCB1 with the c = 1 of its regret bound.
REFERENCE_REGRET = {"random": 16.65, "UCB1": 5.59, "Thompson sampling": 2.80, "Bayes optimum (exact)": 1.748}

# How many bandits stand behind the two-armed line is not known; the fewest behind any line are 3,000.
REFERENCE_BANDITS_OF_TWO_ARMS = 3_000


def play_lifetimes(agents, distribution, *, bandits, key):
    """Return and regret `[bandits]` of each agent, on the same held-out bandits with common random numbers."""
    key_tasks, key_lives, key_init = jax.random.split(key, 3)

    def one_bandit(params, keys):
        task = distribution.sample("test", keys[0])
        measured = {}
        for name, agent in agents.items():
            lifetime, _ = run_lifetime(agent, distribution, params[name], task, keys[1])
            chosen = task.probability[lifetime.decision.action]
            measured[name] = lifetime.outcome.reward.sum(), (task.probability.max() - chosen).sum()
        return measured

    keys = jax.random.split(key_tasks, bandits), jax.random.split(key_lives, bandits)
    params = {name: agent.init(key_init) for name, agent in agents.items()}
    # Compiling takes longer than running here, and half as long at this level.
    measure = jax.jit(
        lambda params, keys: jax.lax.map(lambda ks: one_bandit(params, ks), keys, batch_size=500),
        compiler_options={"xla_backend_optimization_level": 1},
    )
    return jax.tree.map(np.asarray, measure(params, keys))


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(values.size)


@pytest.mark.slow
@pytest.mark.parametrize(("pulls", "arms"), REFERENCE)
def test_mean_return_is_the_known_one(pulls, arms):
    bandits, reference = BANDITS[pulls], REFERENCE[pulls, arms]
    distribution = bernoulli_bandit(arms=arms, pulls=pulls)
    names = [*reference, *["Bayes optimum (exact)"] * exact_reaches(arms=arms, pulls=pulls)]
    agents = {name: distribution.baselines[name]() for name in names}
    measured = play_lifetimes(agents, distribution, bandits=bandits, key=jax.random.key(0))
    for name, (returns, regrets) in measured.items():
        # The best of k uniform arms pays k / (k + 1) on average: known, so only the regret is left to chance.
        mean, error = pulls * arms / (arms + 1) - regrets.mean(), standard_error(regrets)
        print(f"pulls {pulls:3} arms {arms:2} {name:22} {mean:8.3f} ± {error:.3f}  (plain mean {returns.mean():.3f})")
        assert abs(returns.mean() - mean) < 4 * standard_error(returns), name
        if name in reference:
            error = np.hypot(error, returns.std() / np.sqrt(REFERENCE_BANDITS[pulls]))
        expected = reference[name] if name in reference else exact_value(arms=arms, pulls=pulls)
        # Half of the last digit of the reference was rounded away.
        assert abs(mean - expected) < 3 * error + 0.005, f"{name}: {mean:.3f} ± {error:.3f}, known {expected}"
        if "Bayes optimum (exact)" in measured:
            ahead = measured["Bayes optimum (exact)"][1] - regrets
            assert ahead.mean() <= 3 * standard_error(ahead), f"{name} beats the optimum"


@pytest.mark.slow
def test_two_armed_regret_is_the_known_one():
    distribution = bernoulli_bandit(arms=2, pulls=100)
    agents = {name: distribution.baselines[name]() for name in REFERENCE_REGRET}
    agents["UCB1"] = ucb1_agent(distribution.spec, exploration=1.0)
    measured = play_lifetimes(agents, distribution, bandits=8_000, key=jax.random.key(1))
    for name, (_, regrets) in measured.items():
        print(f"pulls 100 arms  2 {name:22} regret {regrets.mean():.3f} ± {standard_error(regrets):.3f}")
        error = standard_error(regrets)
        if name != "Bayes optimum (exact)":
            error = np.hypot(error, regrets.std() / np.sqrt(REFERENCE_BANDITS_OF_TWO_ARMS))
        assert abs(regrets.mean() - REFERENCE_REGRET[name]) < 3 * error + 0.005, name


@pytest.mark.parametrize(("arms", "pulls", "value"), [(5, 10, 6.660), (10, 10, 6.714), (50, 10, 6.714)])
def test_exact_value_of_ten_pulls(arms, pulls, value):
    assert exact_value(arms=arms, pulls=pulls) == pytest.approx(value, abs=5e-4)


def test_exact_regret_of_two_arms():
    assert 100 * 2 / 3 - exact_value(arms=2, pulls=100) == pytest.approx(1.748, abs=5e-4)
