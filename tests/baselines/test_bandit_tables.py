"""The tables of the Gittins index and of the Bayes optimum, against independent, slower computations."""

import functools
import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.bandits.arm_counts import ArmCounts
from quickstudy.baselines.bandits.bayes_optimal import bayes_optimal_agent, exact_value
from quickstudy.baselines.bandits.gittins import gittins_agent, gittins_indices
from quickstudy.baselines.bandits.many_arms_plan import plan_of_many_arms
from quickstudy.baselines.bandits.two_arms_plan import plan_of_two_arms
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def spec(*, arms, pulls):
    actions = gymnasium.spaces.Discrete(arms)
    return Spec(observation_space=gymnasium.spaces.Discrete(1), action_space=actions, horizon=1, episodes=pulls)


@pytest.mark.parametrize(
    ("discount", "successes", "failures", "index"),
    [(0.9, 0, 0, 0.7029), (0.9, 0, 1, 0.5001), (0.9, 1, 0, 0.8001), (0.95, 0, 0, 0.7614), (0.99, 0, 0, 0.8699)],
)
def test_gittins_index_is_the_published_one(discount, successes, failures, index):
    assert gittins_indices(20, discount)[successes, failures] == pytest.approx(index, abs=3e-4)


def index_by_restarting(successes, failures, discount, *, depth=90):
    """The Gittins index as the value of a game in which one may always go back to the start (Katehakis & Veinott 1987)."""
    start = 0.0
    for _ in range(250):
        value = np.full(depth + 1, start)
        for made in range(depth - 1, -1, -1):
            mean = (successes + 1 + np.arange(made + 1)) / (successes + failures + 2 + made)
            go_on = mean * (1 + discount * value[1 : made + 2]) + (1 - mean) * discount * value[: made + 1]
            value = np.maximum(go_on, start) if made else go_on
        start = value[0]
    return (1 - discount) * start


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (3, 1), (1, 6), (9, 0), (0, 9)])
def test_gittins_index_agrees_with_the_game_of_restarting(successes, failures):
    expected = index_by_restarting(successes, failures, 0.9)
    assert gittins_indices(10, 0.9)[successes, failures] == pytest.approx(expected, abs=3e-4)


def test_finer_tables_change_little():
    coarse, fine = (gittins_indices(100, 0.99, rewards=rewards) for rewards in (801, 1601))
    assert np.abs(coarse - fine).max() < 5e-4


def test_a_lifetime_beyond_the_table_is_refused():
    with pytest.raises(SpecError, match="2000 pulls"):
        gittins_agent(spec(arms=5, pulls=2001))


@pytest.mark.parametrize(("arms", "pulls", "value"), [(2, 1, 1 / 2), (2, 2, 13 / 12), (7, 2, 13 / 12)])
def test_exact_value_by_hand(arms, pulls, value):
    # Two pulls: half the time the first pays and its mean is 2/3, otherwise a fresh arm is worth 1/2.
    assert exact_value(arms=arms, pulls=pulls) == pytest.approx(value, abs=1e-12)


def optimum_over_ordered_arms(arms, pulls):
    """The same optimum without any symmetry: a recursion over every arm's own counts."""

    @functools.cache
    def value(belief):
        if sum(map(sum, belief)) == pulls:
            return 0.0
        worths = []
        for arm, (successes, failures) in enumerate(belief):
            mean = (successes + 1) / (successes + failures + 2)
            won, lost = (
                value((*belief[:arm], record, *belief[arm + 1 :]))
                for record in ((successes + 1, failures), (successes, failures + 1))
            )
            worths.append(mean * (1 + won) + (1 - mean) * lost)
        return max(worths)

    return value(((0, 0),) * arms)


@pytest.mark.parametrize(("arms", "pulls"), [(2, 8), (3, 6), (5, 4)])
def test_exact_value_agrees_with_the_recursion_over_ordered_arms(arms, pulls):
    assert exact_value(arms=arms, pulls=pulls) == pytest.approx(optimum_over_ordered_arms(arms, pulls), abs=1e-12)


@pytest.mark.parametrize("pulls", [1, 10, 15])
def test_both_plans_agree_where_they_meet(pulls):
    assert plan_of_many_arms(2, pulls).value == pytest.approx(plan_of_two_arms(pulls).value, abs=1e-12)


def value_of_what_it_does(agent, arms, pulls):
    """Expected return of an agent's own decisions, over every belief: no simulation."""
    beliefs = [belief for belief in itertools.product(range(pulls), repeat=2 * arms) if sum(belief) < pulls]
    table = np.asarray(beliefs, np.int32)
    params = agent.init(jax.random.key(0))
    act = jax.vmap(lambda s, f: agent.act(params, ArmCounts(successes=s, failures=f), jnp.int32(0), jax.random.key(0)))
    actions = np.asarray(act(table[:, :arms], table[:, arms:]).action)
    value = {}
    for row in np.argsort(-table.sum(axis=1)):
        belief, arm = beliefs[row], actions[row]
        mean = (belief[arm] + 1) / (belief[arm] + belief[arms + arm] + 2)
        won, lost = (value.get((*belief[:at], belief[at] + 1, *belief[at + 1 :]), 0.0) for at in (arm, arms + arm))
        value[belief] = mean * (1 + won) + (1 - mean) * lost
    return value[(0,) * 2 * arms]


@pytest.mark.parametrize(("arms", "pulls"), [(2, 6), (3, 5), (2, 17)])
def test_the_optimal_agent_earns_exactly_the_optimum(arms, pulls):
    agent = bayes_optimal_agent(spec(arms=arms, pulls=pulls))
    assert value_of_what_it_does(agent, arms, pulls) == pytest.approx(exact_value(arms=arms, pulls=pulls), abs=1e-9)


def test_beyond_reach_is_refused():
    with pytest.raises(SpecError, match="15 pulls with any number of arms"):
        bayes_optimal_agent(spec(arms=3, pulls=16))
    with pytest.raises(SpecError, match="2 arms and 101 pulls"):
        exact_value(arms=2, pulls=101)
