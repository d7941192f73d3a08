"""The agents that search grids, step by step; their tasks, where the splits decide what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.models.hidden_goal import (
    DOWN,
    LEFT,
    RIGHT,
    STAY,
    UP,
    HiddenGoal,
    action_towards,
    neighbours,
    time_in_cells,
)
from quickstudy.baselines.navigation.goal_search import nearest_first_agent, planned_search_agent, posterior_sampling_agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.navigation.dark_room import dark_room
from quickstudy.tasks.navigation.grid_navigation import grid_navigation

PROBLEM = HiddenGoal(size=3, start=0, goals=(2, 5, 6, 7, 8), horizon=4, episodes=3, reward_elsewhere=-0.1)
MAKERS = [nearest_first_agent, planned_search_agent, posterior_sampling_agent]


def step_to(cell, *, reward=-0.1, ends=False, valid=True):
    decision = Decision(action=jnp.int32(0), extras={})
    recorded = Transition.of_one_step(jnp.int32(0), decision, reward=reward, successor=jnp.int32(cell), truncated=ends)
    return recorded if valid else jax.tree.map(lambda leaf: leaf & False if leaf.dtype == bool else leaf, recorded)


def remember(agent, *recorded, key=0):
    params, memory = agent.init(jax.random.key(0)), agent.begin((), jax.random.key(key))
    for one in recorded:
        memory = agent.adapt(params, memory, one, jax.random.key(0))
    return params, memory


def test_moves_stop_at_walls():
    assert neighbours(3)[4].tolist() == [4, 7, 5, 1, 3]
    assert neighbours(3)[0].tolist() == [0, 3, 1, 0, 0]
    assert neighbours(3)[8].tolist() == [8, 8, 8, 5, 7]


def test_random_actions_spread_as_by_hand():
    # In a 2 x 2 grid from the corner: stay, or against one of two walls, 3/5; each neighbour 1/5. Then 9/25 + 2/25 to be back.
    np.testing.assert_allclose(time_in_cells(2, 1)[0], [0.6, 0.2, 0.2, 0.0])
    np.testing.assert_allclose(time_in_cells(2, 2)[0, 0], 0.6 + 11 / 25)


@pytest.mark.parametrize(
    ("cell", "target", "vertically", "action"),
    [(0, 8, True, UP), (0, 8, False, RIGHT), (8, 0, True, DOWN), (8, 0, False, LEFT), (4, 4, True, STAY), (3, 5, True, RIGHT)],
)
def test_each_action_comes_closer(cell, target, vertically, action):
    assert action_towards(jnp.int32(cell), jnp.int32(target), jnp.asarray(vertically), size=3) == action


@pytest.mark.parametrize("make", MAKERS)
def test_what_was_found_is_walked_to(make):
    agent = make(PROBLEM)
    params, memory = remember(agent, step_to(3), step_to(6), step_to(7, reward=1.0), step_to(2, reward=1.0, valid=False))
    assert memory.goal == 7
    assert memory.steps == 3
    assert np.flatnonzero(memory.searched).tolist() == [3, 6]
    decide = lambda cell: agent.act(params, memory, jnp.int32(cell), jax.random.key(1))  # noqa: E731
    assert int(decide(7).action) == STAY
    assert int(decide(6).action) == RIGHT
    np.testing.assert_allclose(decide(6).extras["belief"].probability, np.eye(9)[7])


@pytest.mark.parametrize("make", MAKERS)
def test_belief_is_uniform_over_what_is_left(make):
    agent = make(PROBLEM)
    params, memory = remember(agent, step_to(3), step_to(6))
    belief = agent.act(params, memory, jnp.int32(6), jax.random.key(0)).extras["belief"]
    np.testing.assert_allclose(belief.probability, np.isin(np.arange(9), [2, 5, 7, 8]) / 4)


def test_nearest_first_goes_to_the_nearest_goal_not_searched():
    agent = nearest_first_agent(PROBLEM)
    params, memory = remember(agent, step_to(3), step_to(6))
    assert int(agent.act(params, memory, jnp.int32(6), jax.random.key(0)).action) == RIGHT
    # When the goals are exhausted, the cells that were not believed to hold one follow: 0, 1 and 4 are left, 4 is nearest.
    params, memory = remember(agent, *(step_to(cell) for cell in (2, 3, 5, 6, 7, 8)))
    assert int(agent.act(params, memory, jnp.int32(7), jax.random.key(0)).action) == DOWN


def test_posterior_sampling_changes_its_mind_between_episodes_only():
    agent = posterior_sampling_agent(PROBLEM)
    targets = set()
    for key in range(40):
        _, memory = remember(agent, key=key)
        first = [cell for cell in memory.order.argsort().tolist() if cell in PROBLEM.goals]
        # Standing on the cell that it drew, it stays there, although it knows by now that this is not the goal.
        params, memory = remember(agent, step_to(first[0]), key=key)
        assert int(agent.act(params, memory, jnp.int32(first[0]), jax.random.key(0)).action) == STAY
        params, memory = remember(agent, step_to(first[0]), step_to(first[0], ends=True), key=key)
        assert int(agent.act(params, memory, jnp.int32(first[1]), jax.random.key(0)).action) == STAY
        targets.add(first[0])
    assert targets == set(PROBLEM.goals)


@pytest.mark.slow
def test_agents_that_search_find_every_goal_from_every_start():
    distribution = dark_room(size=4, horizon=9, episodes=4)
    tasks = distribution.sample_tasks("ood:corner-start", jax.random.key(0), tasks=200)
    for name in ("nearest-first sweep", "Bayes optimum (exact)"):
        agent = distribution.baselines[name]()
        play_lifetimes = jax.vmap(
            lambda task, agent=agent: run_lifetime(agent, distribution, agent.init(task.number), task, jax.random.key(0))[1]
        )
        np.testing.assert_array_equal(play_lifetimes(tasks).goal, tasks.goal)


def test_held_out_goals_are_drawn_by_test_alone():
    distribution = grid_navigation(held_out_goals=5)
    drawn = {s: set(distribution.sample_tasks(s, jax.random.key(0), tasks=500).goal.tolist()) for s in ("train", "test")}
    assert (len(drawn["train"]), len(drawn["test"])) == (16, 5)
    assert not drawn["train"] & drawn["test"]
    same = grid_navigation()
    drawn = [set(same.sample_tasks(s, jax.random.key(0), tasks=500).goal.tolist()) for s in ("train", "test")]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 21


def test_splits_say_where_goals_and_starts_lie():
    distribution = grid_navigation()
    far = distribution.sample_tasks("ood:far-goals", jax.random.key(0), tasks=300)
    assert set(far.goal.tolist()) == {14, 18, 22, 19, 23, 24}
    other = distribution.sample_tasks("ood:other-corner", jax.random.key(0), tasks=300)
    assert set(other.start.tolist()) == {4, 20, 24}
    apart = np.abs(np.array(np.divmod(other.start, 5)) - np.array(np.divmod(other.goal, 5))).max(axis=0)
    assert apart.min() == 2


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        (grid_navigation, {"size": 2}, "size must be 3 or more"),
        (grid_navigation, {"horizon": 7}, "horizon must be 8 or more"),
        (grid_navigation, {"held_out_goals": 21}, "from 0 to 20"),
        (dark_room, {"horizon": 7}, "horizon must be 8 or more"),
        (dark_room, {"held_out_goals": -1}, "from 0 to 80"),
    ],
)
def test_settings_out_of_range_are_refused(make, settings, said):
    with pytest.raises(SpecError, match=said):
        make(**settings)
