"""The point on the half-circle, by hand and against play; the search that finds its goal."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.baselines.navigation.circle_search import circle_search_agent
from quickstudy.protocol.records import Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.navigation.half_circle import SPLITS, half_circle
from quickstudy.tasks.navigation.point_navigation import PointTask

KEY = jax.random.key(0)


def task_at(x, y):
    return PointTask(goal=jnp.float32([x, y]), strength=jnp.float32(1.0), turn=jnp.float32(0.0))


def returns(distribution, agent, drawn, *, seed=1):
    """Returns `[tasks, episodes]`."""
    keys = jax.random.split(jax.random.key(seed), drawn.strength.size)
    recorded = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward))(
        drawn, keys
    )
    return np.asarray(recorded).reshape(-1, distribution.spec.episodes, distribution.spec.horizon).sum(-1)


def test_a_step_pays_one_minus_the_distance_within_its_radius():
    distribution = half_circle()
    paid = [
        distribution.step(task_at(1.0, 0.0), jnp.float32([x, 0.0]), jnp.zeros(2), KEY)[1].reward
        for x in (0.79, 0.81, 0.9, 1.0, 1.15, 1.25)
    ]
    np.testing.assert_allclose(paid, [0.0, 0.81, 0.9, 1.0, 0.85, 0.0], atol=1e-6)
    # Each coordinate of the action is cut at 0.1, and arriving ends nothing.
    place, outcome = distribution.step(task_at(0.0, 1.0), jnp.float32([0.0, 0.8]), jnp.float32([-0.05, 0.5]), KEY)
    np.testing.assert_allclose(place, [-0.05, 0.9], atol=1e-6)
    assert float(outcome.reward) == pytest.approx(1 - math.hypot(0.05, 0.1), abs=1e-6)
    assert not outcome.terminated


def test_splits_say_where_goals_lie_and_share_none():
    drawn = {split: np.asarray(half_circle().sample_tasks(split, KEY, tasks=10_000).goal) for split in SPLITS}
    for split, goal in drawn.items():
        np.testing.assert_allclose(np.linalg.norm(goal, axis=1), 1.5 if split == "ood:far-goals" else 1.0, rtol=1e-6)
        turned = np.arctan2(goal[:, 1], goal[:, 0]) % (2 * math.pi) - (math.pi if split == "ood:other-half" else 0.0)
        assert -1e-6 <= turned.min() < 0.01
        assert math.pi - 0.01 < turned.max() <= math.pi + 1e-6
        # Uniform directions: mean π/2, standard deviation π/√12.
        assert turned.mean() == pytest.approx(math.pi / 2, abs=4 * math.pi / 12**0.5 / 100)
    rows = {split: {row.tobytes() for row in goal} for split, goal in drawn.items()}
    assert len(set().union(*rows.values())) == sum(map(len, rows.values()))
    assert min(map(len, rows.values())) > 9_000


def test_the_ceiling_by_hand():
    # Straight up: 0.15 and 0.05 away after the 4th and 5th step, then there. Per axis: (0.25, 0.35) is met in x before y.
    assert float(half_circle(horizon=7, episodes=3).ceiling(task_at(0.0, 0.55))) == pytest.approx(
        3 * (0.85 + 0.95 + 2), rel=1e-5
    )
    both = (1 - math.hypot(0.05, 0.15)) + 0.95 + 1.0
    assert float(half_circle(horizon=4, episodes=1).ceiling(task_at(-0.25, 0.35))) == pytest.approx(both, rel=1e-5)


def test_the_floor_is_what_random_actions_earn():
    distribution = half_circle(episodes=40)
    # Near enough for random walks to be paid; on the half-circle they are paid one step in 20,000.
    angle = np.linspace(0, math.pi, 500)
    goals = 0.4 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1).astype(jnp.float32)
    drawn = PointTask(goal=goals, strength=jnp.ones(500), turn=jnp.zeros(500))
    returned = returns(distribution, distribution.baselines["random"](), drawn).sum(1)
    floor = np.asarray(jax.lax.map(distribution.floor, drawn, batch_size=50))
    error = (returned - floor).std() / len(floor) ** 0.5
    print(returned.mean(), floor.mean(), error)
    assert abs((returned - floor).mean()) < 4 * error
    assert error < 0.02 * floor.mean()


def test_searches_find_the_goal_and_stay():
    """Golden, 500 test tasks: the half-circle search returns 39.16 (0.36), that of the whole circle 37.63 (0.47), of 53.28."""
    distribution = half_circle()
    drawn = distribution.sample_tasks("test", jax.random.key(5), tasks=200)
    ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
    half = returns(distribution, distribution.baselines["half-circle search"](), drawn)
    whole = returns(distribution, distribution.baselines["circle search"](), drawn)
    for returned, golden, known_error in ((half, 39.16, 0.36), (whole, 37.63, 0.47)):
        total = returned.sum(1)
        print(total.mean(), total.std() / 200**0.5)
        assert abs(total.mean() - golden) < 4 * math.hypot(known_error, total.std() / 200**0.5)
        assert np.all(total <= ceiling + 1e-3)
    # From the third episode on like the ceiling, except for a step's pay on a few tasks; knowing the half is worth 1.5 (0.4).
    assert np.all(half[:, 2:] > ceiling[:, None] / 4 - 1.0)
    assert half[:, 2:].mean() > ceiling.mean() / 4 - 0.1
    assert (half - whole).sum(1).mean() > 0


def test_an_arc_is_searched_from_its_end_and_beyond_what_did_not_pay():
    agent = circle_search_agent(half_circle().spec, at_the_edge=0.8, arc=math.pi, directions=180)
    memory = agent.begin((), KEY)
    goal = lambda memory, at: np.asarray(agent.act((), memory, jnp.float32(at), KEY).extras["goal"])  # noqa: E731
    np.testing.assert_allclose(goal(memory, [0, 0]), [1, 0], atol=1e-6)

    def after(memory, at, reward):
        decision = agent.act((), memory, jnp.float32(at), KEY)
        step = Transition.of_one_step(jnp.float32(at), decision, reward=reward, successor=jnp.float32(at))
        return agent.adapt((), memory, step, KEY)

    # From (1, 0) all within 0.2 is ruled out, up to the tolerance of 0.0125: 2 arcsin (0.1875 / 2) = 10.8 degrees.
    degrees = np.deg2rad(11)
    passed = after(memory, [1.0, 0.0], 0.0)
    np.testing.assert_allclose(goal(passed, [0, 0]), [math.cos(degrees), math.sin(degrees)], atol=1e-5)
    # Paid 0.9 there it is 0.1 away: 2 arcsin 0.05 = 5.7 degrees.
    paid = after(memory, [1.0, 0.0], 0.9)
    assert math.degrees(math.atan2(*goal(paid, [1, 0])[::-1])) == pytest.approx(5.73, abs=1.0)
