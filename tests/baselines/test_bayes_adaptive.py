"""Exact Bayesian agents against recursions over whole histories in exact fractions, which know of no statistics or layers."""

import functools
from fractions import Fraction

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.all_histories import best_return, chance_by_counting, chance_by_hypotheses, grid_tables, posterior_of
from laws.hidden_goal_problem import problem_of_hidden_goal
from marks import slow_but
from quickstudy import baselines
from quickstudy.baselines.bandits.bayes_optimal import exact_value
from quickstudy.baselines.mdps import adaptive_plan
from quickstudy.baselines.mdps.adaptive_plan import most_situations, plan_adaptively
from quickstudy.baselines.mdps.adaptive_problem import problem_of_counts, problem_of_hypotheses
from quickstudy.baselines.mdps.bayes_adaptive import (
    arrival_adaptive_agent,
    arrival_problem,
    bayes_adaptive_agent,
    exact_adaptive_value,
    expected_plan_agent,
    sampled_plan_agent,
)
from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.baselines.navigation.search_plan import plan_search
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit
from quickstudy.tasks.mdps.arrival import arrival_mdp
from quickstudy.tasks.mdps.tabular import tabular_mdp
from quickstudy.tasks.navigation.grid_navigation import grid_navigation

HALF, THIRD = Fraction(1, 2), Fraction(1, 3)
# Two processes of two states and two actions. Outcomes: (successor 0, pays 0), (successor 1, pays 0), (successor 1, pays 1).
ONE = [[[1, 0, 0], [HALF, 0, HALF]], [[THIRD, THIRD, THIRD], [0, HALF, HALF]]]
OTHER = [[[HALF, HALF, 0], [Fraction(3, 4), 0, Fraction(1, 4)]], [[THIRD, THIRD, THIRD], [0, 0, 1]]]
LISTED = (ONE, OTHER)
PRIOR = (Fraction(2, 5), Fraction(3, 5))
SUCCESSOR = np.broadcast_to([0, 1, 1], (2, 2, 3))
REWARD = np.broadcast_to([0.0, 0.0, 1.0], (2, 2, 3))
GRID = HiddenGoal(size=3, start=0, goals=(2, 5, 6, 7, 8), horizon=4, episodes=2, reward_elsewhere=-0.1)
SMALL_GRID = HiddenGoal(size=2, start=0, goals=(1, 2, 3), horizon=3, episodes=2, reward_elsewhere=-0.5)


def spec(*, states=2, actions=2, horizon=3, episodes=2, start=0):
    return Spec(
        observation_space=gymnasium.spaces.Discrete(states, start=start),
        action_space=gymnasium.spaces.Discrete(actions, start=start),
        horizon=horizon,
        episodes=episodes,
    )


def bandit(*, arms, pulls):
    tables = np.zeros((1, arms, 2), int), np.broadcast_to([0.0, 1.0], (1, arms, 2))
    return problem_of_counts(spec(states=1, actions=arms, horizon=1, episodes=pulls), successor=tables[0], reward=tables[1])


def listed(*, horizon=2, episodes=2, start=0):
    chances = np.asarray([[[[float(p) for p in row] for row in rows] for rows in table] for table in LISTED])
    prior = np.asarray([float(p) for p in PRIOR])
    of = spec(horizon=horizon, episodes=episodes, start=start)
    return problem_of_hypotheses(of, chances=chances, successor=SUCCESSOR, reward=REWARD, prior=prior)


@pytest.mark.parametrize(("arms", "pulls"), [(2, 5), (3, 4)])
def test_bandit_value_is_that_of_all_histories(arms, pulls):
    problem = bandit(arms=arms, pulls=pulls)
    found = best_return(problem.spec, chance_by_counting(2), problem.successor, problem.reward)
    assert exact_adaptive_value(problem) == pytest.approx(float(found), abs=1e-6)
    assert exact_value(arms=arms, pulls=pulls) == pytest.approx(float(found), abs=1e-6)


@pytest.mark.parametrize(("states", "actions", "horizon", "episodes"), [(2, 2, 2, 2), (2, 2, 5, 1), (2, 3, 2, 2), (3, 2, 2, 2)])
def test_value_of_counts_is_that_of_all_histories(states, actions, horizon, episodes):
    problem = arrival_problem(spec(states=states, actions=actions, horizon=horizon, episodes=episodes))
    found = best_return(problem.spec, chance_by_counting(states), problem.successor, problem.reward)
    assert exact_adaptive_value(problem) == pytest.approx(float(found), abs=1e-6)


def test_value_of_two_steps_by_hand():
    """The first action arrives in the last state with chance 1/2. In one episode, so does any other action: in the last state
    nothing was tried, and where it did not arrive the other action is left. With episodes of one step, it is worth 2/3 to
    repeat what arrived, and 1/2 to try the other after what did not: 1/2 + (2/3 + 1/2) / 2."""
    assert exact_adaptive_value(arrival_problem(spec(horizon=2, episodes=1))) == pytest.approx(1.0, abs=1e-12)
    assert exact_adaptive_value(arrival_problem(spec(horizon=1, episodes=2))) == pytest.approx(13 / 12, abs=1e-12)


@pytest.mark.parametrize(("horizon", "episodes"), [(1, 4), (2, 2), (4, 1), (5, 1)])
def test_value_of_hypotheses_is_that_of_all_histories(horizon, episodes):
    problem = listed(horizon=horizon, episodes=episodes)
    found = best_return(problem.spec, chance_by_hypotheses(LISTED, PRIOR), SUCCESSOR, REWARD)
    assert exact_adaptive_value(problem) == pytest.approx(float(found), abs=1e-6)


def test_hidden_goal_value_is_that_of_all_histories():
    tables, successor = grid_tables(SMALL_GRID)
    reward = np.broadcast_to([-0.5, 1.0], (4, 5, 2))
    few = HiddenGoal(size=2, start=0, goals=(1, 2, 3), horizon=2, episodes=2, reward_elsewhere=-0.5)
    found = best_return(few.spec, chance_by_hypotheses(tables, [THIRD] * 3), successor, reward)
    assert exact_adaptive_value(problem_of_hidden_goal(few)) == pytest.approx(float(found), abs=1e-6)


@pytest.mark.parametrize("horizon", [4, 6])
@pytest.mark.parametrize("episodes", [1, 2, 3])
def test_hidden_goal_value_is_that_of_the_best_path(horizon, episodes):
    grid = HiddenGoal(size=3, start=0, goals=GRID.goals, horizon=horizon, episodes=episodes, reward_elsewhere=-0.1)
    path = plan_search(grid)
    assert path.bound == path.steps_on_goal
    assert exact_adaptive_value(problem_of_hidden_goal(grid)) == pytest.approx(
        grid.lifetime_return(path.steps_on_goal), abs=1e-6
    )


def recorded(state, action, successor, reward, *, ends=False):
    decision = Decision(action=jnp.int32(action), extras={})
    return Transition.of_one_step(jnp.int32(state), decision, reward=reward, successor=jnp.int32(successor), truncated=ends)


def memory_after(agent, params, history, problem):
    """Lives a history; the agent's numbers of states and actions may begin anywhere."""
    first_state, first_action = int(agent.spec.observation_space.start), int(agent.spec.action_space.start)
    memory = agent.begin(params, jax.random.key(0))
    for number, (state, action, outcome) in enumerate(history):
        successor = int(problem.successor[state, action, outcome]) + first_state
        paid = float(problem.reward[state, action, outcome])
        ends = (number + 1) % agent.spec.horizon == 0
        step = recorded(state + first_state, action + first_action, successor, paid, ends=ends)
        memory = agent.adapt(params, memory, step, jax.random.key(0))
    return memory


HISTORIES = [(), ((0, 1, 0),), ((0, 1, 0), (0, 1, 2)), ((0, 1, 2), (1, 0, 1), (0, 0, 0)), ((0, 0, 1),)]


@pytest.mark.parametrize("history", slow_but(HISTORIES[:2], HISTORIES))
@pytest.mark.parametrize("make", [bayes_adaptive_agent, sampled_plan_agent, expected_plan_agent])
@pytest.mark.parametrize("start", slow_but([3], [0, 3]))
def test_belief_over_hypotheses_is_bayes_rule(history, make, start):
    problem = listed(start=start)
    agent = make(problem)
    params = agent.init(jax.random.key(0))
    memory = memory_after(agent, params, history, problem)
    belief = agent.act(params, memory, jnp.int32(start), jax.random.key(0)).extras["belief"]
    expected = [float(weight) for weight in posterior_of(LISTED, PRIOR, history)]
    np.testing.assert_allclose(belief.probability, expected, atol=1e-6)


def test_belief_over_chances_is_counted():
    problem = arrival_problem(spec())
    agent = bayes_adaptive_agent(problem)
    params = agent.init(jax.random.key(0))
    memory = memory_after(agent, params, ((0, 1, 1), (1, 0, 1), (1, 0, 0), (0, 1, 1)), problem)
    belief = agent.act(params, memory, jnp.int32(1), jax.random.key(0)).extras["belief"]
    np.testing.assert_array_equal(belief.concentration, [[[1, 1], [1, 3]], [[2, 2], [1, 1]]])


def test_evidence_of_one_kind_is_counted_once():
    """Of the listed processes three kinds remain, likelihoods of 2 : 1, 2 : 3 and 1 : 2; the rest says nothing, or refutes. On
    a grid nothing but refuting is left."""
    assert listed().statistic.size == 2 + 3
    assert problem_of_hidden_goal(GRID).statistic.size == len(GRID.goals)


def return_of_deeds(agent, problem):
    """Expected return of an agent's own decisions, over every history that they lead to; and what it says they are worth."""
    params = agent.init(jax.random.key(0))
    adapt, act = jax.jit(agent.adapt), jax.jit(agent.act)
    key, of = jax.random.key(0), agent.spec

    def value(memory, statistic, state, number):
        if number == of.lifetime_steps:
            return 0.0
        action = int(act(params, memory, jnp.int32(state), key).action)
        worth = 0.0
        for outcome, chance in enumerate(problem.predict(statistic[None], np.array([state]))[0, action]):
            if chance > 0:
                cell = state, action, outcome
                ends = (number + 1) % of.horizon == 0
                led, paid = int(problem.successor[cell]), float(problem.reward[cell])
                after = adapt(params, memory, recorded(state, action, led, paid, ends=ends), key)
                statistic_after = statistic * problem.keeps[cell] + problem.adds[cell]
                worth += chance * (paid + value(after, statistic_after, problem.start if ends else led, number + 1))
        return worth

    return value(agent.begin(params, key), problem.statistic, problem.start, 0)


PROBLEMS = {
    "arrival": lambda: arrival_problem(spec(horizon=3, episodes=2)),
    "listed": lambda: listed(horizon=2, episodes=2),
    "bandit": lambda: bandit(arms=2, pulls=6),
    "grid": lambda: problem_of_hidden_goal(GRID),
}


@pytest.mark.parametrize("name", slow_but(["arrival", "grid"], PROBLEMS))
def test_what_the_agent_does_is_worth_the_optimum_and_it_says_so(name):
    problem = PROBLEMS[name]()
    agent, value = bayes_adaptive_agent(problem), exact_adaptive_value(problem)
    assert return_of_deeds(agent, problem) == pytest.approx(value, abs=1e-6)
    params = agent.init(jax.random.key(0))
    decision = agent.act(params, agent.begin(params, jax.random.key(0)), jnp.int32(problem.start), jax.random.key(0))
    assert float(decision.extras["value"]) == pytest.approx(value, rel=1e-6)


def test_exploring_is_worth_something():
    """Greedy planning earns less by an amount that is no rounding."""
    problem = arrival_problem(spec(horizon=3, episodes=2))
    assert return_of_deeds(expected_plan_agent(problem), problem) < exact_adaptive_value(problem) - 1e-3


def returns(agent, distribution, *, lifetimes, key=0):
    key_tasks, key_lives = jax.random.split(jax.random.key(key))
    tasks = distribution.sample_tasks("test", key_tasks, tasks=lifetimes)
    params = agent.init(jax.random.key(0))
    # A plan handed over, not written into the program, where folding it takes long.
    one = lambda params, task, key: run_lifetime(agent, distribution, params, task, key)[0].outcome.reward.sum()  # noqa: E731
    play_lifetimes = jax.jit(jax.vmap(one, (None, 0, 0)))
    return np.asarray(play_lifetimes(params, tasks, jax.random.split(key_lives, lifetimes)), np.float64)


def compare(found, value):
    """Mean less the exact value, in standard errors."""
    error = found.std(ddof=1) / np.sqrt(found.size)
    print(f"mean {found.mean():.4f} ± {error:.4f}   exact {value:.4f}")
    return (found.mean() - value) / error


SIMULATED = {
    "arrival-mdp": (functools.partial(arrival_mdp), lambda of: arrival_problem(of)),
    "bernoulli-bandit": (functools.partial(bernoulli_bandit, arms=2, pulls=10), lambda of: bandit(arms=2, pulls=10)),
    "grid-navigation": (
        functools.partial(grid_navigation, size=3, horizon=4, episodes=2),
        lambda of: problem_of_hidden_goal(GRID),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_returns_are_the_exact_value_and_posterior_sampling_earns_less(name):
    make, problem_for = SIMULATED[name]
    distribution = make()
    problem = problem_for(distribution.spec)
    value = exact_adaptive_value(problem)
    best = returns(bayes_adaptive_agent(problem), distribution, lifetimes=20_000)
    assert abs(compare(best, value)) < 3
    sampled = returns(sampled_plan_agent(problem), distribution, lifetimes=20_000)
    assert compare(sampled, value) < -3
    other = returns(distribution.baselines["Bayes optimum (exact)"](), distribution, lifetimes=20_000, key=1)
    assert abs(compare(other, value)) < 3


def test_posterior_sampling_draws_hypotheses_as_often_as_it_believes():
    """One step left: under one process action 1 is best in state 0, with action 0 it never pays; both prefer action 1."""
    chances = np.asarray([[[[1.0, 0.0], [0.0, 1.0]]], [[[0.0, 1.0], [1.0, 0.0]]]])
    of = spec(states=1, horizon=1, episodes=2)
    tables = {"successor": np.zeros((1, 2, 2), int), "reward": np.broadcast_to([0.0, 1.0], (1, 2, 2))}
    agent = sampled_plan_agent(problem_of_hypotheses(of, chances=chances, prior=np.asarray([0.3, 0.7]), **tables))
    plans = jax.vmap(lambda key: agent.begin((), key).plan[0, 0])(jax.random.split(jax.random.key(0), 20_000))
    assert float(plans.mean()) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 20_000))


def test_what_is_impossible_ends_the_plan_without_an_error():
    problem = problem_of_hidden_goal(GRID)
    agent = bayes_adaptive_agent(problem)
    params = agent.init(jax.random.key(0))
    memory = agent.begin(params, jax.random.key(0))
    # No way leads from cell 0 to cell 8, and cell 4 holds no goal.
    for step in (recorded(0, 1, 8, 1.0), recorded(4, 0, 4, 1.0)):
        after = agent.adapt(params, memory, step, jax.random.key(0))
        decision = agent.act(params, after, jnp.int32(4), jax.random.key(0))
        assert int(decision.action) == 0
        assert float(decision.extras["value"]) == 0
        assert float(decision.extras["belief"].probability.sum()) == pytest.approx(1.0)


def test_beyond_reach_is_refused_with_numbers(monkeypatch):
    with pytest.raises(SpecError, match=r"up to 2,000,000 .* 10 states, 5 actions and 100 steps may make 1.85e\+116"):
        arrival_adaptive_agent(tabular_mdp().spec)
    monkeypatch.setattr(adaptive_plan, "MOST_SITUATIONS", 1000)
    with pytest.raises(SpecError, match=r"up to 1,000 .* came 2,500 by step 2 of 100, with 10 states, 5 actions and 10 "):
        plan_adaptively(arrival_problem(tabular_mdp().spec))
    assert "Bayes optimum (exact)" not in arrival_mdp(states=10, actions=5, horizon=10, episodes=10).baselines


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"successor": np.full((2, 2, 3), 2)}, "successor must name states, from 0 to 1"),
        ({"reward": np.zeros((2, 2, 2))}, "reward must be of shape"),
        ({"chances": np.full((2, 2, 2, 3), 0.5)}, "sum to one"),
        ({"prior": np.asarray([1.0, 0.0])}, "above 0"),
    ],
)
def test_tables_that_do_not_fit_are_refused(changed, said):
    given = {"chances": np.full((2, 2, 2, 3), 1 / 3), "successor": SUCCESSOR, "reward": REWARD}
    with pytest.raises(SpecError, match=said):
        problem_of_hypotheses(spec(), **(given | changed))


def test_the_agent_needs_discrete_spaces():
    box = gymnasium.spaces.Box(0.0, 1.0, (1,))
    with pytest.raises(SpecError, match="Discrete states and actions"):
        arrival_problem(Spec(observation_space=box, action_space=gymnasium.spaces.Discrete(2), horizon=1, episodes=1))


@pytest.mark.parametrize(("states", "actions", "horizon", "episodes"), [(2, 2, 3, 3), (2, 2, 8, 1), (3, 2, 2, 2)])
def test_no_more_situations_come_than_are_foretold(states, actions, horizon, episodes):
    of = spec(states=states, actions=actions, horizon=horizon, episodes=episodes)
    assert len(plan_adaptively(arrival_problem(of)).action) - 1 <= most_situations(of, states)


def test_agents_for_an_mdp_go_by_name():
    distribution = arrival_mdp(horizon=2, episodes=2)
    agent = baselines.make("bayes-adaptive", distribution.spec)
    value = exact_adaptive_value(arrival_problem(distribution.spec))
    assert float(agent.init(jax.random.key(0))["to_come"][0]) == pytest.approx(value, rel=1e-6)
