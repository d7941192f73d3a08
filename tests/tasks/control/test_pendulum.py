"""The pendulum against Gymnasium's, and against physics; the agents that swing it up."""

import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.control.energy_shaping import energy_shaping_agent, self_tuning_agent
from quickstudy.baselines.models.pendulum import coefficients, swing_up
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.records import Decision, Transition
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.control.pendulum import OTHER_RANGES, RANGES, PendulumTask, pendulum
from quickstudy.tasks.simulated_return import evenly

KEY = jax.random.key(0)


def task_of(**parameters):
    nominal = {"mass": 1.0, "length": 1.0, "gravity": 10.0, "strength": 1.0}
    return PendulumTask(**{name: jnp.float32(value) for name, value in {**nominal, **parameters}.items()})


def played(distribution, task, state, actions):
    """States `[T + 1, 2]` and rewards `[T]` of these actions."""

    def step(state, action):
        following, outcome = distribution.step(task, state, action, KEY)
        return following, (following, outcome.reward, outcome.observation)

    state = jnp.float32(state)
    _, (states, rewards, seen) = jax.lax.scan(step, state, jnp.float32(actions))
    return np.concatenate([state[None], states]), np.asarray(rewards), np.asarray(seen)


@pytest.mark.parametrize("parameters", [{}, {"mass": 0.7, "length": 1.3, "gravity": 8.0}])
def test_every_step_is_gymnasiums(parameters):
    world = gymnasium.make("Pendulum-v1").unwrapped
    task = task_of(**parameters)
    world.m, world.l, world.g = (float(parameter) for parameter in (task.mass, task.length, task.gravity))
    generator = np.random.default_rng(0)
    for start in ([0.1, 0.5], [math.pi, 0.0], [-2.0, -1.0]):
        actions = generator.uniform(-2.5, 2.5, (50, 1)).astype(np.float32)
        states, rewards, seen = played(pendulum(), task, start, actions)
        # Each step from where ours stands, so that what grows is not rounding.
        for state, following, action, reward, observation in zip(states, states[1:], actions, rewards, seen, strict=False):
            world.reset(seed=0)
            world.state = np.asarray(state, np.float64)
            theirs, their_reward, *_ = world.step(action)
            np.testing.assert_allclose(observation, theirs, atol=1e-4)
            np.testing.assert_allclose(following, world.state, atol=1e-4)
            assert reward == pytest.approx(float(their_reward), abs=1e-4)


def test_a_whole_episode_is_gymnasiums():
    world = gymnasium.make("Pendulum-v1").unwrapped
    world.reset(seed=0)
    world.state = np.array([2.5, 0.3])
    actions = np.random.default_rng(1).uniform(-2, 2, (60, 1)).astype(np.float32)
    theirs = [world.step(action)[:2] for action in actions]
    _, rewards, seen = played(pendulum(), task_of(), [2.5, 0.3], actions)
    np.testing.assert_allclose(seen, [observation for observation, _ in theirs], atol=2e-4)
    np.testing.assert_allclose(rewards, [float(reward) for _, reward in theirs], atol=2e-3)


def test_strength_stands_between_signal_and_torque_and_the_signal_costs():
    distribution, start = pendulum(), [[math.pi, 0.0], [[1.5]]]
    moved, rewards, _ = played(distribution, task_of(strength=-0.5), *start)
    # From hanging: three times the torque of -0.75 N m, for 0.05 s.
    assert moved[1, 1] == pytest.approx(-3 * 0.75 * 0.05, abs=1e-5)
    assert rewards[0] == pytest.approx(-(math.pi**2 + 0.001 * 1.5**2), abs=1e-4)


@pytest.mark.parametrize("parameters", [{}, {"length": 1.5, "gravity": 7.0, "mass": 0.6}])
def test_energy_is_kept_where_no_torque_acts(parameters):
    # m l²/6 ω² + m g l/2 cos θ: the method keeps it up to the size of a step, at all times.
    task = task_of(**parameters)
    states, _, _ = played(pendulum(), task, [math.pi - 1.5, 0.0], np.zeros((2000, 1)))
    mass, length, gravity = (float(parameter) for parameter in (task.mass, task.length, task.gravity))
    energy = mass * length**2 / 6 * states[:, 1] ** 2 + mass * gravity * length / 2 * np.cos(states[:, 0])
    scale = mass * gravity * length / 2
    assert np.abs(energy - energy[0]).max() < 0.2 * scale
    assert abs(energy[:200].mean() - energy[-200:].mean()) < 0.01 * scale
    # It swings, and at its own frequency: small swings take 2π √(2l/3g) seconds, those of 1.5 radians 1.16 times as long.
    crossings = np.sum(np.diff(np.sign(states[:, 0] - math.pi)) != 0)
    period = 2 * math.pi * math.sqrt(2 * length / (3 * gravity)) * 1.159
    assert crossings == pytest.approx(2 * 100 / period, rel=0.02)


@pytest.mark.parametrize("directions", ["forward", "either"])
def test_splits_are_ranges_that_keep_the_top_in_reach(directions):
    distribution = pendulum(directions=directions)
    assert ("ood:reversed" in distribution.splits) == (directions == "forward")
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=2000) for split in distribution.splits}
    for split, task in drawn.items():
        for name, (low, high) in (RANGES | OTHER_RANGES.get(split, {})).items():
            values = np.asarray(getattr(task, name))
            values = np.abs(values) if directions == "either" else values
            assert low <= values.min() < low + 0.02 * (high - low)
            assert high - 0.02 * (high - low) < values.max() <= high
        forward = float((task.strength > 0).mean())
        expected = 0.5 if directions == "either" else float(split != "ood:reversed")
        assert forward == pytest.approx(expected, abs=0.04 if directions == "either" else 0.0)
        # Energy of the largest speed, 8²/2, lifts by 2 · 3g/2l.
        assert np.all(3 * np.asarray(task.gravity) / np.asarray(task.length) <= 32)
    for name in RANGES:
        assert not set(np.asarray(getattr(drawn["train"], name)).tolist()) & set(getattr(drawn["test"], name).tolist())


def test_episodes_begin_anywhere():
    states, observations = jax.vmap(lambda key: pendulum().reset(task_of(), key))(jax.random.split(KEY, 4000))
    assert np.abs(states).max(axis=0) == pytest.approx([math.pi, 1.0], abs=0.01)
    assert np.asarray(states).std(axis=0) == pytest.approx(np.array([math.pi, 1.0]) / math.sqrt(3), rel=0.03)
    np.testing.assert_allclose(observations[:, 0], np.cos(states[:, 0]), atol=1e-6)


def test_starts_of_references_cover_evenly():
    points = evenly(128, 2)
    # Half of them in each half, a quarter in each quarter, up to two; random points miss by five and more.
    for split in (points[:, 0] < 0.5, points[:, 1] < 0.5):
        assert abs(split.sum() - 64) <= 2
    assert abs((points < 0.5).all(axis=1).sum() - 32) <= 2
    assert points.min() > 0
    assert points.max() < 1


def test_gains_solve_the_riccati_equation():
    # P with Aᵀ P + P A - P B Bᵀ P / r + Q = 0 for A = [[0, 1], [a, 0]], B = [0, b], Q = diag(1, 0.1), r = 0.1; K = Bᵀ P / r.
    a, b = coefficients(1.2, 1.4, 9.0, 0.8)
    at = [np.float32([math.cos(angle), math.sin(angle), speed]) for angle, speed in ((1e-3, 0.0), (0.0, 1e-3))]
    gains = -np.array([float(swing_up(jnp.asarray(one), jnp.float32(a), jnp.float32(b))[0]) for one in at]) / 1e-3
    p12, p22 = 0.1 * gains / b
    p11 = p12 * p22 * b**2 / 0.1 - a * p22
    system, entry, p = np.array([[0, 1], [a, 0]]), np.array([[0], [b]]), np.array([[p11, p12], [p12, p22]])
    residual = system.T @ p + p @ system - p @ entry @ entry.T @ p / 0.1 + np.diag([1, 0.1])
    np.testing.assert_allclose(residual, 0, atol=2e-3)
    assert np.all(np.linalg.eigvalsh(p) > 0)


def test_swinging_adds_energy_below_and_takes_it_above():
    a, b = jnp.float32(15.0), jnp.float32(3.0)
    hanging = lambda speed: jnp.float32([-1.0, 0.0, speed])  # noqa: E731
    # Upright at rest is ω = √(4a) = 7.75 at the bottom.
    assert float(swing_up(hanging(3.0), a, b)[0]) == 2.0
    assert float(swing_up(hanging(-3.0), a, b)[0]) == -2.0
    assert float(swing_up(hanging(7.95), a, b)[0]) == -2.0
    assert float(swing_up(hanging(-3.0), a, -b)[0]) == 2.0


def returns(distribution, make, split, *, count=40):
    agent, drawn = make(distribution.spec), distribution.sample_tasks(split, KEY, tasks=count)
    keys = jax.random.split(jax.random.key(2), count)
    recorded = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)))(drawn, keys)
    return np.asarray(recorded[0].outcome.reward).sum(-1), recorded[1], drawn


@pytest.mark.slow
@pytest.mark.parametrize("split", ["ood:long", "ood:reversed"])
def test_a_self_tuning_agent_swings_up_what_it_has_identified(split):
    distribution = pendulum(episodes=1)
    tuned, memory, drawn = returns(distribution, self_tuning_agent, split)
    fixed, _, _ = returns(distribution, energy_shaping_agent, split)
    ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
    floor = np.asarray(jax.vmap(distribution.floor)(drawn))
    print(tuned.mean(), fixed.mean(), ceiling.mean(), floor.mean())
    # At least nine tenths of the way from random to the ceiling; an agent with fixed coefficients is far below that.
    assert tuned.mean() > floor.mean() + 0.9 * (ceiling - floor).mean()
    assert fixed.mean() < tuned.mean() - (1000 if split == "ood:reversed" else 10)
    # And the least squares have found the two numbers.
    a, b = coefficients(drawn.mass, drawn.length, drawn.gravity, drawn.strength)
    found = np.linalg.solve(np.asarray(memory.seen, np.float64), np.asarray(memory.caused, np.float64)[..., None])[..., 0]
    np.testing.assert_allclose(found, np.stack([a, b], axis=1), rtol=1e-2)


def test_the_largest_speed_is_not_learned_from():
    agent = self_tuning_agent(pendulum().spec)
    decision = Decision(action=jnp.float32([2.0]), extras={})
    seen = [jnp.float32([-1.0, 0.0, 7.9]), jnp.float32([-1.0, -0.1, 8.0])]
    step = Transition.of_one_step(seen[0], decision, reward=0.0, successor=seen[1])
    assert not np.any(agent.adapt((), agent.begin((), KEY), step, KEY).seen)
    step = Transition.of_one_step(seen[0], decision, reward=0.0, successor=seen[1] - 0.05)
    assert np.any(agent.adapt((), agent.begin((), KEY), step, KEY).seen)


@pytest.mark.slow
def test_the_floor_is_what_random_actions_earn():
    distribution = pendulum(horizon=50, episodes=2)
    returned, _, drawn = returns(distribution, lambda spec: distribution.baselines["random"](), "train", count=600)
    floor = np.asarray(jax.vmap(distribution.floor)(drawn))
    error = (returned - floor).std() / len(floor) ** 0.5
    assert abs((returned - floor).mean()) < 3 * error + 0.03 * abs(floor.mean())
    assert error < 0.05 * abs(floor.mean())


@pytest.mark.slow
def test_in_short_episodes_the_ceiling_is_no_less_than_the_floor():
    distribution = pendulum(horizon=3, episodes=1)
    drawn = distribution.sample_tasks("ood:heavy", KEY, tasks=50)
    assert np.all(np.asarray(jax.vmap(distribution.ceiling)(drawn)) >= np.asarray(jax.vmap(distribution.floor)(drawn)))


@pytest.mark.slow
def test_a_fixed_swing_up_does_on_train_and_not_where_motors_turn_either_way():
    fixed, _, drawn = returns(pendulum(episodes=1), energy_shaping_agent, "train")
    assert fixed.mean() > np.asarray(jax.vmap(pendulum(episodes=1).ceiling)(drawn)).mean() - 60
    both = pendulum(directions="either", episodes=1)
    fixed, _, drawn = returns(both, energy_shaping_agent, "train")
    forward = np.asarray(drawn.strength > 0)
    assert fixed[forward].min() > fixed[~forward].max()
    tuned, _, _ = returns(both, self_tuning_agent, "train")
    assert tuned[~forward].mean() > fixed[~forward].mean() + 1000


def test_unknown_directions_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'forward'"):
        pendulum(directions="foward")


@pytest.mark.parametrize("make", [energy_shaping_agent, self_tuning_agent])
def test_agents_that_swing_refuse_other_spaces(make):
    with pytest.raises(SpecError, match="those of a pendulum"):
        make(tasks.make("point-navigation").spec)
