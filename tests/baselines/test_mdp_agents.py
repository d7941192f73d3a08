"""The rules of the classical agents for tabular MDPs, against numbers worked by hand."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy.baselines.mdps.beb import beb_agent, visit_bonus_agent
from quickstudy.baselines.mdps.greedy import mdp_epsilon_greedy_agent, mdp_greedy_agent
from quickstudy.baselines.mdps.opsrl import opsrl_agent
from quickstudy.baselines.mdps.psrl import psrl_agent
from quickstudy.baselines.mdps.step_wise import (
    StepWiseMemory,
    default_bonus,
    index,
    step_wise_planning_agent,
    step_wise_rule_agent,
)
from quickstudy.baselines.mdps.transition_counts import PlanningMemory, TransitionCounts
from quickstudy.baselines.mdps.ucrl2 import optimistic_backup, ucrl2_agent
from quickstudy.numerics.value_iteration import backward_induction
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Spec, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.mdps.tabular import tabular_mdp

MAKERS = [mdp_greedy_agent, mdp_epsilon_greedy_agent, psrl_agent, opsrl_agent, ucrl2_agent, beb_agent, visit_bonus_agent]
QUICK = [mdp_greedy_agent, psrl_agent, beb_agent, step_wise_planning_agent]
"""One that plans with what it expects, one with what it draws, and two with a bonus."""
STEP_WISE = [step_wise_rule_agent, step_wise_planning_agent]


def spec(*, states=2, actions=2, horizon=2, episodes=4, start=0):
    return Spec(
        observation_space=gymnasium.spaces.Discrete(states, start=start),
        action_space=gymnasium.spaces.Discrete(actions, start=start),
        horizon=horizon,
        episodes=episodes,
    )


def recorded(state, action, reward, successor, *, over=False, valid=True):
    """Experience of one step `[1]`."""
    return Transition(
        observation=jnp.asarray([state], jnp.int32),
        decision=Decision(action=jnp.asarray([action], jnp.int32), extras={}),
        outcome=Outcome(
            observation=jnp.asarray([successor], jnp.int32),
            reward=jnp.asarray([reward], jnp.float32),
            terminated=jnp.asarray([False]),
            truncated=jnp.asarray([over]),
        ),
        episode=jnp.zeros(1, jnp.int32),
        valid=jnp.asarray([valid]),
    )


def after(agent, *steps):
    key = jax.random.key(0)
    memory = agent.begin((), key)
    for step in steps:
        memory = agent.adapt((), memory, step, key)
    return memory


def action_of(agent, memory, state):
    return int(agent.act((), memory, jnp.int32(state), jax.random.key(1)).action)


@pytest.mark.parametrize("make", slow_but(QUICK, [*MAKERS, step_wise_planning_agent]))
@pytest.mark.parametrize("start", slow_but([3], [0, 3]))
def test_counts_follow_valid_steps_alone(make, start):
    agent = make(spec(start=start))
    steps = [(0, 1, 2.0, 1, True), (1, 0, -1.0, 1, True), (0, 1, 3.0, 0, True), (1, 1, 9.0, 0, False)]
    memory = after(agent, *(recorded(s + start, a + start, r, n + start, valid=v) for s, a, r, n, v in steps))
    np.testing.assert_array_equal(memory.counts.transitions, [[[0, 0], [1, 1]], [[0, 1], [0, 0]]])
    np.testing.assert_array_equal(memory.counts.reward_sums, [[0, 5], [-1, 0]])
    np.testing.assert_array_equal(memory.counts.visits, [[0, 2], [1, 0]])


def test_posterior_means_by_hand():
    counts = TransitionCounts(
        transitions=jnp.asarray([[[2, 1], [0, 0]], [[0, 1], [0, 0]]]), reward_sums=jnp.asarray([[7.0, 0.0], [-1.0, 0.0]])
    )
    np.testing.assert_allclose(counts.mean_transition[0], [[3 / 5, 2 / 5], [1 / 2, 1 / 2]], rtol=1e-6)
    np.testing.assert_allclose(counts.mean_reward(1.0), [[8 / 4, 1], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(counts.mean_reward(0.0), [[7 / 4, 0], [-1 / 2, 0]], rtol=1e-6)


@pytest.mark.parametrize("make", slow_but(QUICK, MAKERS))
def test_plans_are_made_between_episodes_alone(make):
    agent = make(spec())
    # The first action of state 0 disappoints badly; only the end of the episode draws the conclusion.
    before = after(agent)
    midway = after(agent, recorded(0, 0, -1000.0, 0))
    np.testing.assert_array_equal(midway.plan, before.plan)
    assert int(midway.step) == 1
    ended = after(agent, recorded(0, 0, -1000.0, 0), recorded(0, 0, -1000.0, 0, over=True))
    assert int(ended.step) == 0
    assert np.all(np.asarray(ended.plan)[:, 0] == 1)


def test_greedy_stays_with_what_paid_and_takes_the_first_of_equals():
    agent = mdp_greedy_agent(spec(actions=3))
    assert action_of(agent, after(agent), 0) == 0
    paid = after(agent, recorded(0, 1, 3.0, 0), recorded(0, 1, 3.0, 0, over=True))
    assert action_of(agent, paid, 0) == 1
    disappointed = after(agent, recorded(0, 0, -3.0, 0), recorded(0, 0, -3.0, 0, over=True))
    assert action_of(agent, disappointed, 0) == 1


def test_a_plan_knows_which_step_of_the_episode_it_is():
    """Moving over costs 1 and pays 3 at the next step: worth it at the first of two steps, not at the last."""
    agent = mdp_greedy_agent(spec(), prior_mean=0.0)
    transitions = 10_000 * jnp.asarray([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    reward = 10_000.0 * jnp.asarray([[0.0, -1.0], [3.0, 3.0]])
    counts = TransitionCounts(transitions=transitions, reward_sums=reward)
    memory = PlanningMemory(counts=counts, plan=jnp.zeros((2, 2), jnp.int32), step=jnp.int32(1))
    memory = agent.adapt((), memory, recorded(0, 0, 0.0, 0, over=True), jax.random.key(0))
    np.testing.assert_array_equal(memory.plan, [[1, 0], [0, 0]])


def test_bonus_by_hand():
    """One step left, prior mean 0, two states: β / (1 + 2 + n) is 1/4 after one visit and 1/3 before, for β = 1."""
    steps = recorded(0, 0, 0.15, 1, over=True)
    one_step = spec(horizon=1)
    for bonus, action in ((1.0, 1), (0.8, 0)):  # r̂ = 0.15 / 2 = 0.075 makes up for a bonus smaller by β / 12
        agent = beb_agent(one_step, bonus=bonus, prior_mean=0.0)
        assert action_of(agent, after(agent, steps), 0) == action
    for bonus, action in ((0.2, 1), (0.1, 0)):  # β / (1 + n): smaller by β / 2
        agent = visit_bonus_agent(one_step, bonus=bonus, prior_mean=0.0)
        assert action_of(agent, after(agent, steps), 0) == action


def test_optimistic_probabilities_by_hand():
    value = jnp.asarray([3.0, 1.0, 2.0])
    transition = jnp.asarray([[[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]])
    # Half of 0.8 moves to the first state: 0.3 from the second, then 0.1 from the third. With 2, everything moves there.
    found = optimistic_backup(jnp.zeros((1, 2)), transition, jnp.asarray([[0.8, 2.0]]))(value)
    np.testing.assert_allclose(found, [[0.6 * 3 + 0.4 * 2, 3.0]], rtol=1e-6)
    none = optimistic_backup(jnp.ones((1, 2)), transition, jnp.zeros((1, 2)))(value)
    np.testing.assert_allclose(none, 1 + np.asarray([[1.9, 1.9]]), rtol=1e-6)


def test_optimistic_probabilities_are_the_best_within_their_distance():
    """Against a search over random distributions, none of which may do better."""
    generator = np.random.default_rng(0)
    transition, value = generator.dirichlet(np.ones(4), (1, 1)), generator.normal(size=4)
    others = generator.dirichlet(np.ones(4), 200_000)
    near = np.abs(others - transition[0]).sum(-1) <= 0.5
    best = (others[near] @ value).max()
    found = optimistic_backup(jnp.zeros((1, 1)), jnp.float32(transition), jnp.full((1, 1), 0.5))(jnp.float32(value))
    assert best <= float(found[0, 0]) + 1e-6 <= best + 0.1


def test_a_posterior_draw_has_the_moments_of_the_belief():
    """One step left: PSRL takes the second action as often as one normal exceeds another."""
    agent = psrl_agent(spec(horizon=1))
    counts = TransitionCounts(
        transitions=jnp.zeros((2, 2, 2), jnp.int32).at[0, 0, 0].set(3), reward_sums=jnp.zeros((2, 2)).at[0, 0].set(5.0)
    )
    memory = PlanningMemory(counts=counts, plan=jnp.zeros((1, 2), jnp.int32), step=jnp.int32(0))
    keys = jax.random.split(jax.random.key(0), 20_000)
    again = jax.jit(jax.vmap(lambda key: agent.adapt((), memory, recorded(1, 0, 0.0, 0, over=True), key).plan[0, 0]))
    # N(6 / 4, 1 / 4) against N(1, 1): the second wins with probability Φ(-0.5 / sqrt(1.25)) = 0.3274.
    assert float(again(keys).mean()) == pytest.approx(0.3274, abs=4 * np.sqrt(0.33 * 0.67 / 20_000))


def test_epsilon_greedy_explores_as_often_as_it_says():
    agent = mdp_epsilon_greedy_agent(spec(actions=3), epsilon=0.3)
    memory = after(agent)
    decisions = jax.vmap(lambda key: agent.act((), memory, jnp.int32(0), key))(jax.random.split(jax.random.key(0), 20_000))
    share = float((decisions.action != 0).mean())
    assert share == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 20_000))
    expected = np.where(np.asarray(decisions.action) == 0, 0.8, 0.1)
    np.testing.assert_allclose(np.exp(decisions.extras["log_probability"]), expected, rtol=1e-5)


def test_planning_stays_a_branch_for_many_lifetimes():
    """`vmap` turns a branch into both ways at every step, unless all lifetimes branch alike: that is what speed rests on."""
    distribution = tabular_mdp(states=3, actions=2, horizon=3, episodes=4)
    agent = distribution.baselines["BEB"]()
    tasks = distribution.sample_tasks("test", jax.random.key(0), tasks=4)
    many = jax.vmap(functools.partial(run_lifetime, agent, distribution, ()))
    assert "cond[" in str(jax.make_jaxpr(many)(tasks, jax.random.split(jax.random.key(1), 4)))


def test_backward_induction_by_hand():
    transition = jnp.asarray([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    reward = jnp.asarray([[0.0, -1.0], [3.0, 1.0]])
    backup = lambda value: reward + transition @ value  # noqa: E731
    value, action_value = backward_induction(backup, states=2, horizon=2)
    np.testing.assert_allclose(action_value, [[[0, 2], [6, 4]], [[0, -1], [3, 1]]])
    np.testing.assert_allclose(value, [2, 6])
    value, _ = backward_induction(backup, states=2, horizon=2, summary=jnp.mean)
    np.testing.assert_allclose(value, [-0.5 - 0.5 / 2 + 2.0 / 2, 4.0])


def index_after(*steps, bonus):
    """The first state's indices in lifetimes of 8 steps, prior mean 1."""
    memory = after(step_wise_rule_agent(spec(), bonus=bonus), *steps)
    here = memory.of_state(0)
    return index(here, steps=jnp.float32(len(steps)), lifetime_steps=8, bonus=bonus, prior_mean=1.0)


def test_the_index_falls_with_visits_and_with_the_clock():
    """One visit that paid 2: r̂ = (1 + 2) / 2, and the bonus is halved. Visits elsewhere move the clock alone."""
    here, elsewhere = recorded(0, 0, 2.0, 1), recorded(1, 1, 9.0, 1)
    np.testing.assert_allclose(index_after(bonus=3.0), [1 + 3, 1 + 3], rtol=1e-6)
    np.testing.assert_allclose(index_after(here, bonus=3.0), [1.5 + 3 * 7 / 8 / 2, 1 + 3 * 7 / 8], rtol=1e-6)
    later = [here, *[elsewhere] * 4]
    np.testing.assert_allclose(index_after(*later, bonus=3.0), [1.5 + 3 * 3 / 8 / 2, 1 + 3 * 3 / 8], rtol=1e-6)
    # Equal where c (1 - t / 8) / 2 = 1 / 2: at c = 8 / 7 after one step, at 8 / 3 after five.
    for steps, bonus, action in (([here], 1.1, 0), ([here], 1.2, 1), (later, 2.6, 0), (later, 2.7, 1)):
        agent = step_wise_rule_agent(spec(), bonus=bonus)
        assert action_of(agent, after(agent, *steps), 0) == action
    # After the last step nothing is left of any bonus.
    np.testing.assert_allclose(index_after(here, *[elsewhere] * 7, bonus=1000.0), [1.5, 1.0], rtol=1e-6)


def test_default_bonus_is_near_the_tuned_ones():
    for episodes, best in ((10, 1.0), (25, 1.2), (50, 1.6), (75, 2.0), (100, 2.4)):
        assert default_bonus(episodes) == pytest.approx(best, abs=0.05)


@pytest.mark.parametrize("start", [0, 3])
def test_the_step_wise_rule_counts_valid_steps_in_any_order(start):
    agent = step_wise_rule_agent(spec(start=start))
    assert agent.exchangeable
    steps = [(0, 1, 2.0, 1, True), (1, 0, -1.0, 1, True), (0, 1, 3.0, 0, True), (1, 1, np.nan, 0, False)]
    experience = [recorded(s + start, a + start, r, n + start, valid=v) for s, a, r, n, v in steps]
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *experience)
    for memory in (after(agent, *experience), after(agent, *experience[::-1]), after(agent, joined)):
        np.testing.assert_array_equal(memory.visits, [[0, 2], [1, 0]])
        np.testing.assert_array_equal(memory.reward_sums, [[0, 5], [-1, 0]])
    # r̂ = (1 + 5) / 3 in state 0 for the second action, and 1 for the first, with 5 of 8 steps left: equal at c = 2.4.
    for bonus, action in ((2.3, 1), (2.5, 0)):
        assert action_of(step_wise_rule_agent(spec(start=start), bonus=bonus), memory, start) == start + action


@pytest.mark.parametrize("make", STEP_WISE)
def test_step_wise_agents_take_the_first_of_equals_up_to_rounding(make):
    agent = make(spec(actions=3), bonus=1.0)
    assert action_of(agent, after(agent), 0) == 0
    # The first action disappoints. The others were never tried, or paid the same but for the rounding of sums.
    disappointed = after(agent, recorded(0, 0, -9.0, 0))
    assert action_of(agent, disappointed, 0) == 1
    paid = [recorded(0, action, reward, 0) for action, reward in ((1, 2.0), (2, 2.00001), (1, 2.0), (2, 2.0))]
    assert action_of(agent, after(agent, recorded(0, 0, -9.0, 0), *paid), 0) == 1


@pytest.mark.parametrize("make", STEP_WISE)
def test_step_wise_agents_learn_within_an_episode(make):
    agent = make(spec())
    assert action_of(agent, after(agent, recorded(0, 0, -1000.0, 0)), 0) == 1


def test_step_wise_planning_knows_which_step_of_the_episode_it_is():
    """Moving over costs 1 and pays 3 at the next step. Planning does it at the first of two steps, and the rule never does."""
    transitions = 10_000 * jnp.asarray([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    reward = 10_000.0 * jnp.asarray([[0.0, -1.0], [3.0, 3.0]])
    counts = TransitionCounts(transitions=transitions, reward_sums=reward)
    planning = step_wise_planning_agent(spec(), bonus=0.0, prior_mean=0.0)
    for step, action in ((0, 1), (1, 0)):
        assert action_of(planning, StepWiseMemory(counts=counts, step=jnp.int32(step)), 0) == action
    assert action_of(step_wise_rule_agent(spec(), bonus=0.0, prior_mean=0.0), counts.rewards, 0) == 0


def test_step_wise_planning_counts_the_steps_of_the_episode():
    agent = step_wise_planning_agent(spec(horizon=3))
    steps = [recorded(0, 0, 0.0, 0), recorded(0, 0, 0.0, 0, valid=False), recorded(0, 0, 0.0, 0, over=True)]
    assert [int(after(agent, *steps[:number]).step) for number in range(4)] == [0, 1, 1, 0]


@pytest.mark.slow
def test_step_wise_planning_is_the_rule_where_episodes_have_one_step():
    one_step = spec(states=3, actions=4, horizon=1, episodes=40)
    rule, planning = step_wise_rule_agent(one_step), step_wise_planning_agent(one_step)
    generator, decided = np.random.default_rng(0), set()
    by_rule, by_planning = after(rule), after(planning)
    for _ in range(40):
        state = int(generator.integers(3))
        action = action_of(rule, by_rule, state)
        assert action_of(planning, by_planning, state) == action
        decided.add(action)
        experience = recorded(state, action, generator.normal(), int(generator.integers(3)), over=True)
        by_rule = rule.adapt((), by_rule, experience, jax.random.key(0))
        by_planning = planning.adapt((), by_planning, experience, jax.random.key(0))
    assert decided == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (mdp_epsilon_greedy_agent, {"epsilon": 1.5}),
        (opsrl_agent, {"draws": 0}),
        (ucrl2_agent, {"scale": -1.0}),
        (beb_agent, {"bonus": -1.0}),
        (beb_agent, {"prior_visits": -1.0}),
        (step_wise_rule_agent, {"bonus": -1.0}),
        (step_wise_planning_agent, {"bonus": -1.0}),
    ],
)
def test_settings_out_of_range_are_refused(make, setting):
    with pytest.raises(SpecError, match=next(iter(setting))):
        make(spec(), **setting)


@pytest.mark.parametrize("make", [*MAKERS, *STEP_WISE])
def test_states_that_are_not_discrete_are_refused(make):
    box = gymnasium.spaces.Box(0.0, 1.0, (2,))
    for spaces in ((box, gymnasium.spaces.Discrete(2)), (gymnasium.spaces.Discrete(2), box)):
        with pytest.raises(SpecError, match="Discrete states and actions"):
            make(Spec(observation_space=spaces[0], action_space=spaces[1], horizon=2, episodes=2))
