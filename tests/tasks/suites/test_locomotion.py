"""Tasks of locomotion against hand computation from the simulator's state, and against Gymnasium's own robots."""

import math

import cloudpickle
import jax
import numpy as np
import pytest

pytest.importorskip("mujoco")

from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv

from quickstudy import tasks
from quickstudy.tasks.checks.trees import rows
from quickstudy.tasks.suites.locomotion import robots

pytestmark = pytest.mark.suites

GOALS = ("ant-direction", "ant-goal", "half-cheetah-direction", "half-cheetah-velocity")
BODIES = ("hopper-parameters", "walker-parameters")
KEY = np.uint32([3, 4])
SIZES = {  # numbers in an observation, in an action
    "ant-direction": (27, 8),
    "ant-goal": (107, 8),
    "half-cheetah-direction": (17, 6),
    "half-cheetah-velocity": (17, 6),
    "hopper-parameters": (11, 3),
    "walker-parameters": (17, 6),
}


def drawn(name, split, number, seed=0):
    """Tasks of a split as the driver hands them on: rows of a stack."""
    stack = tasks.make(name).sample_tasks(split, jax.random.key(seed), tasks=number)
    return [jax.tree.map(lambda leaf, row=row: leaf[row], stack) for row in range(number)]


def opened(name, task):
    environment = tasks.make(name).open()
    environment.begin(task, KEY)
    return environment


def actions_for(name, steps=40):
    return np.random.default_rng(5).uniform(-1, 1, (steps, SIZES[name][1])).astype(np.float32)


def played(environment, actions):
    """First observation and everything that followed, up to the end of the episode."""
    seen = [environment.reset(1)]
    for slot, action in enumerate(actions):
        stepped = environment.step(slot, action)
        seen.append(np.append(stepped.observation, [stepped.reward, stepped.terminated]))
        if stepped.terminated:
            break
    return seen


def equal(left, right):
    return len(left) == len(right) and all(np.array_equal(*pair) for pair in zip(left, right, strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_horizons_are_those_of_the_papers(name):
    distribution = tasks.make(name)
    spec = distribution.spec
    assert (spec.observation_space.shape, spec.action_space.shape) == tuple((size,) for size in SIZES[name])
    assert (spec.horizon, spec.episodes) == (200, 2)
    assert np.array_equal(spec.action_space.high, np.ones(SIZES[name][1]))
    first = opened(name, drawn(name, "train", 1)[0]).reset(0)
    assert first.shape == spec.observation_space.shape
    assert distribution.config == ({"contact_forces": True} if name == "ant-goal" else {}) | {"horizon": 200, "episodes": 2}
    assert tasks.make(name, horizon=5, episodes=3).spec.lifetime_steps == 15
    assert distribution.baselines["random"]().spec.describe() == spec.describe()


def test_an_ant_without_contact_forces_sees_29_numbers():
    assert tasks.make("ant-goal", contact_forces=False).spec.observation_space.shape == (29,)


def by_hand(name, task, data, before, action):
    """The reward of a step, from where the robot was and what the simulator says now. A step of these lasts 0.05 s."""
    (x, y), effort = before, float(np.square(action.astype(np.float64)).sum())
    if name == "half-cheetah-velocity":
        return -abs((data.qpos[0] - x) / 0.05 - float(task.speed)) - 0.05 * effort
    if name == "half-cheetah-direction":
        return float(task.direction) * (data.qpos[0] - x) / 0.05 - 0.05 * effort
    contact = 5e-4 * np.square(np.clip(data.cfrc_ext, -1, 1)).sum()
    if name == "ant-goal":
        return -np.abs(data.qpos[:2] - task.goal).sum() - 0.1 * effort - contact
    velocity = (data.qpos[:2] - [x, y]) / 0.05
    return velocity @ task.direction.astype(np.float64) + (0.2 <= data.qpos[2] <= 1.0) - 0.5 * effort - contact


@pytest.mark.parametrize("name", GOALS)
def test_rewards_are_what_a_hand_computes(name):
    for task in drawn(name, "test", 3):
        environment = opened(name, task)
        environment.reset(0)
        data, touched = environment.environment.data, False
        for slot, action in enumerate(actions_for(name, 60)):
            before = data.qpos[:2].copy()
            stepped = environment.step(slot, action)
            assert stepped.reward == pytest.approx(by_hand(name, task, data, before, action), abs=1e-5)
            touched = touched or np.abs(data.cfrc_ext).max() > 0
            if stepped.terminated:
                break
        assert touched or not name.startswith("ant")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (robots.Hopper, HopperEnv),
        (robots.Walker, lambda: Walker2dEnv(frame_skip=5)),
        (lambda: robots.HalfCheetah(robots.progress), lambda: HalfCheetahEnv(ctrl_cost_weight=0.05)),
        (robots.Ant, lambda: AntEnv(include_cfrc_ext_in_observation=False)),
        (
            lambda: robots.AntAtGoal(contact_forces=True),
            lambda: AntEnv(exclude_current_positions_from_observation=False, terminate_when_unhealthy=False),
        ),
    ],
    ids=["hopper", "walker", "half-cheetah", "ant", "ant at goal"],
)
def test_robots_move_see_and_end_as_gymnasiums_own(ours, theirs):
    """With the goal forwards and the body of the file, rewards are the same too."""
    ours, theirs = ours(), theirs()
    ours.goal = 1.0 if isinstance(ours, robots.HalfCheetah) else (1.0, 0.0)
    generator, ends = np.random.default_rng(0), 0
    for episode in range(4):
        assert np.array_equal(ours.reset(seed=episode)[0], theirs.reset(seed=episode)[0])
        for _ in range(150):
            action = generator.uniform(-1, 1, ours.action_space.shape).astype(np.float32)
            mine, other = ours.step(action), theirs.step(action)
            assert np.array_equal(mine[0], other[0])
            assert mine[2:4] == other[2:4]
            if not isinstance(ours, robots.AntAtGoal):
                # Gymnasium's ant reads its place where the integrator last tried, up to 3 mm off: 0.06 m/s.
                assert mine[1] == pytest.approx(other[1], abs=0.1 if isinstance(ours, robots.Ant) else 1e-5)
            ends += mine[2]
            if mine[2]:
                break
    assert ends or isinstance(ours, robots.HalfCheetah | robots.AntAtGoal)


@pytest.mark.parametrize("name", SIZES)
def test_a_task_is_the_same_after_others_were_set_in_between(name):
    first, *others = drawn(name, "train", 6)
    others += drawn(name, tasks.make(name).splits[-1], 3)
    actions = actions_for(name)
    environment = opened(name, first)
    fresh = played(environment, actions)
    assert len(fresh) > 5
    changed = 0
    for other in others:
        environment.begin(other, KEY)
        changed += not equal(played(environment, actions), fresh)
    assert changed >= 4  # of two directions, half are the same
    environment.begin(first, KEY)
    assert equal(played(environment, actions), fresh)
    assert equal(played(opened(name, first), actions), fresh)


@pytest.mark.parametrize("name", BODIES)
def test_the_body_of_the_file_comes_back_to_the_last_bit(name):
    environment = opened(name, drawn(name, "ood:heavier", 1)[0])
    task = jax.tree.map(np.ones_like, drawn(name, "train", 1)[0])
    environment.begin(task, KEY)
    fresh = {"hopper-parameters": robots.Hopper, "walker-parameters": robots.Walker}[name]().model
    model = environment.environment.model
    for field in ("body_mass", "body_inertia", "dof_damping", "geom_friction", "body_subtreemass", "body_invweight0"):
        assert np.array_equal(getattr(model, field), getattr(fresh, field)), field
    assert np.array_equal(model.dof_invweight0, fresh.dof_invweight0)


@pytest.mark.parametrize("name", BODIES)
def test_factors_reach_what_they_are_named_for(name):
    task = drawn(name, "train", 1)[0]
    model, built = opened(name, task).environment.model, opened(name, jax.tree.map(np.ones_like, task)).environment.model
    described = tasks.make(name).describe(task)
    words = [next(key for key in described if key.startswith(kind)) for kind in ("mass", "inertia", "damping", "friction")]
    parts = [word.partition("; ")[2].removesuffix(")").split(", ") for word in words]
    for body, mass, inertia in zip(parts[0], task.mass, task.inertia, strict=True):
        assert model.body(body).mass == pytest.approx(built.body(body).mass * mass)
        assert model.body(body).inertia == pytest.approx(built.body(body).inertia * inertia)
    for joint, damping in zip(parts[2], task.damping, strict=True):
        assert model.joint(joint).damping == pytest.approx(built.joint(joint).damping * damping)
    for shape, friction in zip(parts[3], task.friction, strict=True):
        assert model.geom(shape).friction == pytest.approx(built.geom(shape).friction * [friction, 1, 1])


@pytest.mark.parametrize("name", BODIES)
def test_what_the_papers_draw_and_this_does_not_makes_no_difference(name):
    """Turns about the two axes within the plane, and the friction of turning and rolling."""
    task = jax.tree.map(np.ones_like, drawn(name, "train", 1)[0])
    environment, actions = opened(name, task), actions_for(name)
    fresh = played(environment, actions)
    model = environment.environment.model
    model.body_inertia[:, (0, 2)] *= 3.0
    model.geom_friction[:, 1:] *= 3.0
    assert equal(played(environment, actions), fresh)
    model.body_inertia[:, 1] *= 1.5
    assert not equal(played(environment, actions), fresh)


@pytest.mark.parametrize("name", GOALS)
def test_goals_never_show_in_observations(name):
    """Whatever the goal, the same actions are followed by the same observations, and by other rewards."""
    actions = actions_for(name)
    runs = [played(opened(name, task), actions) for task in drawn(name, "train", 4) + drawn(name, "test", 4, seed=1)]
    for run in runs[1:]:
        assert equal([step[:-2] for step in run[1:]], [step[:-2] for step in runs[0][1:]])
        assert np.array_equal(run[0], runs[0][0])
    assert len({run[5][-2] for run in runs}) >= 4


@pytest.mark.parametrize("name", BODIES)
def test_bodies_never_show_in_first_observations(name):
    firsts = [opened(name, task).reset(0) for task in drawn(name, "train", 3) + drawn(name, "ood:heavier", 1)]
    assert all(np.array_equal(first, firsts[0]) for first in firsts)


@pytest.mark.parametrize("name", SIZES)
def test_no_task_is_drawn_by_two_splits(name):
    distribution = tasks.make(name)
    seen = {}
    for split in distribution.splits:
        stack = distribution.sample_tasks(split, jax.random.key(11), tasks=10_000)
        # Every leaf that carries a mark keeps the splits apart by itself.
        for leaf in jax.tree.leaves(stack):
            assert leaf.dtype == np.float32
            assert np.isfinite(leaf).all()
        seen[split] = set(rows(jax.tree.leaves(stack)[0]))
    assert sum(map(len, seen.values())) == len(set().union(*seen.values()))
    assert len(seen["train"]) == 2 if name == "half-cheetah-direction" else len(seen["train"]) > 9_000


def spread(name, split):
    return tasks.make(name).sample_tasks(split, jax.random.key(2), tasks=4000)


@pytest.mark.parametrize(("split", "low", "high"), [("train", 0, 3), ("test", 0, 3), ("ood:faster", 3, 4)])
def test_speeds_are_uniform(split, low, high):
    speed = (spread("half-cheetah-velocity", split).speed.astype(np.float64) - low) / (high - low)
    assert speed.min() >= 0
    assert speed.max() < 1
    assert np.histogram(speed, 10, (0, 1))[0] == pytest.approx(np.full(10, 400), abs=100)


def test_directions_are_as_likely_as_one_another():
    side = spread("half-cheetah-direction", "test").direction
    assert set(np.sign(side)) == {-1.0, 1.0}
    assert abs(np.sign(side).mean()) < 4 / math.sqrt(4000)
    assert np.abs(side).max() <= 1 + 2e-6
    across, along = spread("ant-direction", "train").direction.T
    assert np.hypot(across, along) == pytest.approx(1, abs=1e-6)
    assert np.histogram(np.arctan2(along, across), 8, (-math.pi, math.pi))[0] == pytest.approx(np.full(8, 500), abs=110)


@pytest.mark.parametrize(("split", "inner", "outer"), [("train", 0, 3), ("test", 0, 3), ("ood:farther", 3, 4)])
def test_goals_are_uniform_on_their_disc(split, inner, outer):
    away = np.square(spread("ant-goal", split).goal).sum(axis=1)
    share = (away - inner**2) / (outer**2 - inner**2)
    assert share.min() >= -1e-6
    assert share.max() <= 1 + 1e-6
    assert np.histogram(np.clip(share, 0, 1 - 1e-9), 10, (0, 1))[0] == pytest.approx(np.full(10, 400), abs=100)


@pytest.mark.parametrize("name", BODIES)
def test_factors_are_powers_of_a_uniform_number(name):
    train, heavy = spread(name, "train"), spread(name, "ood:heavier")
    for leaf, base in ((train.mass, 1.5), (train.inertia, 1.5), (train.damping, 1.3), (train.friction, 1.5)):
        exponent = np.log(leaf.astype(np.float64)) / math.log(base)
        assert np.abs(exponent).max() <= 3 + 1e-5
        assert exponent.std() == pytest.approx(6 / math.sqrt(12), rel=0.05)
        assert np.abs(np.corrcoef(exponent.T) - np.eye(exponent.shape[1])).max() < 0.1
    assert heavy.mass.min() >= 1.5**3 * (1 - 1e-6)
    assert heavy.mass.max() <= 1.5**4


@pytest.mark.parametrize("name", ["hopper-parameters", "walker-parameters", "ant-direction"])
def test_a_fall_ends_the_episode_and_nothing_else_does(name):
    environment = opened(name, drawn(name, "train", 1)[0])
    environment.reset(0)
    robot = environment.environment
    # Down on the floor; the ant, which the floor would push back, in the air.
    robot.data.qpos[1 if name in BODIES else 2] = 0.1 if name in BODIES else 2.0
    still = np.zeros(SIZES[name][1], np.float32)
    assert environment.step(0, still).terminated
    for other in set(GOALS) - {"ant-direction"}:
        standing = opened(other, drawn(other, "train", 1)[0])
        standing.reset(0)
        standing.environment.data.qpos[2] = 2.0  # upside down, or in the air
        stepped = standing.step(0, np.zeros(SIZES[other][1], np.float32))
        assert (stepped.terminated, stepped.truncated) == (False, False)


@pytest.mark.parametrize("name", SIZES)
def test_worker_processes_can_be_sent_it(name):
    distribution = tasks.make(name)
    sent = cloudpickle.loads(cloudpickle.dumps(distribution))
    task = jax.tree.map(np.asarray, sent.sample("train", np.random.default_rng(0)))
    environment = sent.open()
    environment.begin(task, KEY)
    assert equal(played(environment, actions_for(name, 5)), played(opened(name, task), actions_for(name, 5)))
    assert all(np.isfinite(value).all() for value in sent.describe(task).values())


@pytest.mark.parametrize("name", BODIES)
def test_no_body_upsets_the_simulator(name):
    for task in drawn(name, "train", 30) + drawn(name, "ood:heavier", 10):
        environment = opened(name, task)
        played(environment, np.sign(actions_for(name, 60)))
        assert not sum(warning.number for warning in environment.environment.data.warning)
