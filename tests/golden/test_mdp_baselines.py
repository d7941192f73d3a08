"""The classical agents for tabular MDPs against what is known of them.

Duan et al. 2016, table 2 gives means over 1,000 MDPs. The values in `REFERENCE` come from an independent simulation of the same
methods with the true prior; those in `PUBLISHED` are the paper's, for agents that believe in mean rewards of 0, the belief
under which they agree with it (docs/tabular-mdps.md). One standard error of either is taken from the lifetimes recorded here.
Those in `STEP_WISE` come with their own standard errors.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but, slow_unless
from quickstudy.baselines.mdps.opsrl import opsrl_agent
from quickstudy.baselines.mdps.psrl import psrl_agent
from quickstudy.baselines.mdps.step_wise import step_wise_rule_agent
from quickstudy.numerics.beliefs.dirichlet import draw_dirichlet, draw_gamma
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.mdps.tabular import tabular_mdp

MDPS = {10: 1_500, 25: 1_000, 50: 1_000, 75: 1_000, 100: 1_000}
REFERENCE_MDPS = 3_000
PUBLISHED_MDPS = 1_000

# Episodes: mean lifetime return.
REFERENCE = {
    10: {"random": 100.1, "PSRL": 133.1, "greedy": 149.9, "BEB": 151.5, "oracle": 218.7},
    25: {"random": 250.2, "PSRL": 403.6, "greedy": 425.3, "BEB": 438.9, "oracle": 547.4},
    50: {"random": 499.7, "PSRL": 901.5, "greedy": 899.0, "BEB": 945.7, "oracle": 1094.7},
    75: {"random": 749.9, "PSRL": 1416.8, "greedy": 1379.1, "BEB": 1464.4, "oracle": 1642.3},
    100: {"random": 999.4, "PSRL": 1940.2, "greedy": 1859.9, "BEB": 1989.3, "oracle": 2189.8},
}
PUBLISHED = {
    10: {"PSRL, prior mean 0": 138.1, "OPSRL, prior mean 0": 144.1},
    25: {"PSRL, prior mean 0": 408.8},
}
# Episodes: mean lifetime return and its standard error, simulated.
STEP_WISE = {
    10: {"step-wise rule": (162.8, 0.24), "step-wise rule, no bonus": (158.7, 0.6), "step-wise planning": (163.5, 0.8)},
    25: {"step-wise rule": (460.0, 0.8)},
    50: {"step-wise rule": (977.0, 2.2)},
    75: {"step-wise rule": (1504.0, 3.6)},
    100: {"step-wise rule": (2027.0, 5.3)},
}
# Simulation takes longer with more episodes, and tests the same methods.
CELLS = slow_unless([75, 100], REFERENCE)
STEP_WISE_CELLS = slow_unless([50, 75, 100], STEP_WISE)


def play_lifetimes(agents, distribution, *, mdps, key):
    """Returns `[mdps]` of each agent on the same held-out MDPs with common random numbers, and of the oracle (expected)."""
    key_tasks, key_lives = jax.random.split(key)

    def one_mdp(keys):
        task = distribution.sample("test", keys[0])
        returns = {
            name: run_lifetime(agent, distribution, (), task, keys[1])[0].outcome.reward.sum() for name, agent in agents.items()
        }
        return {**returns, "oracle": distribution.ceiling(task)}

    measure = jax.jit(partial(jax.lax.map, one_mdp, batch_size=250), compiler_options={"xla_backend_optimization_level": 1})
    keys = jax.random.split(key_tasks, mdps), jax.random.split(key_lives, mdps)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), measure(keys))


def compare(returns, known, *, known_mdps, label):
    """Every mean within three standard errors of the difference, known to half a digit."""
    for name, value in returns.items():
        error = value.std(ddof=1) / np.sqrt(value.size)
        print(f"{label} {name:22} {value.mean():9.2f} ± {error:.2f}   known {known.get(name, '')}")
        if name in known:
            combined = error * np.sqrt(1 + value.size / known_mdps)
            assert abs(value.mean() - known[name]) < 3 * combined + 0.05, f"{name}: {value.mean()}, known {known[name]}"


@pytest.mark.parametrize("episodes", CELLS)
def test_mean_return_is_the_known_one(episodes):
    distribution = tabular_mdp(episodes=episodes)
    agents = {
        name: distribution.baselines[name]() for name in [*REFERENCE[episodes], "UCRL2", "visit bonus"] if name != "oracle"
    }
    returns = play_lifetimes(agents, distribution, mdps=MDPS[episodes], key=jax.random.key(0))
    compare(returns, REFERENCE[episodes], known_mdps=REFERENCE_MDPS, label=f"episodes {episodes:3}")
    # What no agent earns more than; and what exploring on purpose is worth, MDP by MDP.
    for name in agents:
        assert (returns[name] - returns["oracle"]).mean() < 0, name
    for name, other in (("BEB", "greedy"), ("UCRL2", "PSRL"), ("visit bonus", "greedy")):
        ahead = returns[name] - returns[other]
        assert ahead.mean() > -3 * ahead.std() / np.sqrt(ahead.size), f"{other} beats {name}"


def ahead(returns, name, other):
    """How much one agent earns more than another, MDP by MDP, and the standard error."""
    difference = returns[name] - returns[other]
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(difference.size)
    print(f"{name} minus {other}: {mean:+.2f} ± {error:.2f}")
    return mean, error


def check_step_wise(returns, episodes):
    """Every mean within three standard errors of the difference from the simulated one."""
    for name in STEP_WISE[episodes].keys() & returns.keys():
        (known, known_error), value = STEP_WISE[episodes][name], returns[name]
        combined = np.hypot(known_error, value.std(ddof=1) / np.sqrt(value.size))
        assert abs(value.mean() - known) < 3 * combined, f"{name}: {value.mean()}, known {known}"


@pytest.mark.parametrize("episodes", STEP_WISE_CELLS)
def test_the_step_wise_rule_earns_what_was_simulated_and_more_than_plans_for_an_episode(episodes):
    distribution = tabular_mdp(episodes=episodes)
    agents = {name: distribution.baselines[name]() for name in ("step-wise rule", "visit bonus")}
    agents["step-wise rule, no bonus"] = step_wise_rule_agent(distribution.spec, bonus=0.0)
    returns = play_lifetimes(agents, distribution, mdps=3_000, key=jax.random.key(2))
    compare(returns, {}, known_mdps=1, label=f"episodes {episodes:3}")
    check_step_wise(returns, episodes)
    for other in ("visit bonus", "step-wise rule, no bonus"):
        mean, error = ahead(returns, "step-wise rule", other)
        assert mean > 3 * error, other


@pytest.mark.parametrize("episodes", STEP_WISE_CELLS)
def test_the_model_of_transitions_adds_about_half_a_percent_at_most(episodes):
    distribution = tabular_mdp(episodes=episodes)
    agents = {name: distribution.baselines[name]() for name in ("step-wise planning", "step-wise rule")}
    returns = play_lifetimes(agents, distribution, mdps=3_000, key=jax.random.key(2))
    compare(returns, {}, known_mdps=1, label=f"episodes {episodes:3}")
    check_step_wise(returns, episodes)
    mean, error = ahead(returns, "step-wise planning", "step-wise rule")
    assert -3 * error < mean < 0.005 * returns["step-wise rule"].mean() + 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("episodes", PUBLISHED)
def test_a_prior_mean_of_zero_gives_what_was_published(episodes):
    distribution = tabular_mdp(episodes=episodes)
    agents = {
        "PSRL, prior mean 0": psrl_agent(distribution.spec, prior_mean=0.0),
        "OPSRL, prior mean 0": opsrl_agent(distribution.spec, draws=10, prior_mean=0.0),
    }
    agents = {name: agents[name] for name in PUBLISHED[episodes]}
    returns = play_lifetimes(agents, distribution, mdps=1_000, key=jax.random.key(1))
    compare(returns, PUBLISHED[episodes], known_mdps=PUBLISHED_MDPS, label=f"episodes {episodes:3}")


def test_random_and_oracle_earn_what_is_computed():
    distribution = tabular_mdp(states=4, actions=3, horizon=5, episodes=8)
    random = distribution.baselines["random"]()
    tasks = distribution.sample_tasks("test", jax.random.key(0), tasks=4_000)
    keys = jax.random.split(jax.random.key(1), 4_000)
    recorded, _ = jax.jit(jax.vmap(partial(run_lifetime, random, distribution, ())))(tasks, keys)
    difference = np.asarray(recorded.outcome.reward.sum(-1) - jax.vmap(distribution.floor)(tasks))
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)


@pytest.mark.parametrize("concentration", slow_but([1.0, 400.0], [1.0, 2.0, 7.5, 400.0]))
def test_gamma_draws_have_the_moments_and_quantiles_of_jax(concentration):
    drawn = np.asarray(draw_gamma(jnp.full(40_000, concentration), jax.random.key(0)))
    other = np.asarray(jax.random.gamma(jax.random.key(1), concentration, (40_000,)))
    assert drawn.mean() == pytest.approx(concentration, abs=4 * np.sqrt(concentration / drawn.size))
    assert drawn.var() == pytest.approx(concentration, rel=4 * np.sqrt((2 + 6 / concentration) / drawn.size))
    # Kolmogorov and Smirnov: the largest distance between the two empirical distributions, at a level of 10^-4.
    merged = np.sort(np.concatenate([drawn, other]))
    apart = np.abs(np.searchsorted(np.sort(drawn), merged) - np.searchsorted(np.sort(other), merged)).max() / drawn.size
    assert apart < 2.23 * np.sqrt(2 / drawn.size)


def test_dirichlet_draws_have_their_mean_and_sum_to_one():
    concentration = jnp.asarray([1.0, 2.0, 5.0])
    drawn = np.asarray(jax.vmap(lambda key: draw_dirichlet(concentration, key))(jax.random.split(jax.random.key(0), 20_000)))
    np.testing.assert_allclose(drawn.sum(-1), 1.0, rtol=1e-5)
    mean = np.asarray(concentration) / 8
    assert np.all(np.abs(drawn.mean(0) - mean) < 4 * np.sqrt(mean * (1 - mean) / 9 / 20_000))
