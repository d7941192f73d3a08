"""The cart-pole against Gymnasium's, and against physics; the agents that balance it."""

import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.control.linear_control import direction_finding_agent, linear_control_agent
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.control.cart_pole import OTHER_RANGES, RANGES, CartPoleTask, cart_pole

KEY = jax.random.key(0)
NOMINAL = {"mass": 0.1, "length": 0.5, "gravity": 9.8, "force": 10.0}


def task_of(**parameters):
    return CartPoleTask(**{name: jnp.float32(value) for name, value in {**NOMINAL, **parameters}.items()})


def gymnasiums(**parameters):
    """Gymnasium's cart-pole with these parameters."""
    values = {**NOMINAL, **parameters}
    world = gymnasium.make("CartPole-v1").unwrapped
    world.reset(seed=0)
    world.masspole, world.length, world.gravity, world.force_mag = (values[name] for name in NOMINAL)
    world.total_mass, world.polemass_length = world.masspole + world.masscart, world.masspole * world.length
    return world


@pytest.mark.parametrize("parameters", [{}, {"mass": 0.4, "length": 0.9, "gravity": 12.0, "force": 6.0}])
def test_every_step_is_gymnasiums(parameters):
    world, task, distribution = gymnasiums(**parameters), task_of(**parameters), cart_pole()
    step = jax.jit(distribution.step)
    generator = np.random.default_rng(0)
    ended = 0
    for _ in range(150):
        # Fast and steep enough that some steps end the episode, one way or another.
        state = generator.uniform(-1, 1, 4) * [2.45, 2.0, 0.22, 2.0]
        action = int(generator.integers(2))
        world.state, world.steps_beyond_terminated = state, None
        theirs, reward, terminated, _, _ = world.step(action)
        following, outcome = step(task, jnp.float32(state), jnp.int32(action), KEY)
        np.testing.assert_allclose(outcome.observation, theirs, atol=1e-4)
        np.testing.assert_array_equal(following, outcome.observation)
        assert float(outcome.reward) == reward
        assert bool(outcome.terminated) == terminated
        ended += terminated
    assert 10 < ended < 140


def test_a_whole_episode_is_gymnasiums():
    world, distribution = gymnasiums(), cart_pole()
    state = np.array([0.01, -0.02, 0.03, 0.04])
    world.state, ours = state, jnp.float32(state)
    agent = linear_control_agent(distribution.spec)
    for _ in range(100):
        action = agent.act((), jnp.float32(0.0), ours, KEY).action
        theirs, *_ = world.step(int(action))
        ours, outcome = distribution.step(task_of(), ours, action, KEY)
        np.testing.assert_allclose(outcome.observation, theirs, atol=1e-4)
        assert not outcome.terminated


@pytest.mark.parametrize("parameters", [{}, {"mass": 0.5, "length": 1.0, "gravity": 7.0}])
def test_without_a_push_momentum_is_kept_and_energy_nearly(parameters):
    # Pushes of 0 N: what is left is a cart and a pole that exchange momentum along the rail.
    task = task_of(force=0.0, **parameters)
    mass, length, gravity = (float(value) for value in (task.mass, task.length, task.gravity))
    step, state, kept = jax.jit(cart_pole().step), jnp.float32([0.0, 0.3, 0.15, 0.0]), []
    for _ in range(25):
        _, velocity, angle, spin = (float(number) for number in state)
        momentum = (1 + mass) * velocity + mass * length * spin * math.cos(angle)
        # Moment of inertia about the end of a rod of twice this length: 4/3 m l².
        swing = mass * velocity * length * spin * math.cos(angle) + 2 / 3 * mass * (length * spin) ** 2
        kept.append((momentum, 0.5 * (1 + mass) * velocity**2 + swing + mass * gravity * length * math.cos(angle)))
        state, _ = step(task, state, jnp.int32(1), KEY)
    momenta, energies = np.array(kept).T
    # Euler's method, 0.02 s a step: an error of second order in each step.
    assert abs(state[2]) > 0.25
    assert np.abs(momenta - momenta[0]).max() < 5e-3 * abs(momenta[0])
    assert np.abs(energies - energies[0]).max() < 0.02 * mass * gravity * length


@pytest.mark.parametrize("directions", ["forward", "either"])
def test_splits_are_ranges(directions):
    distribution = cart_pole(directions=directions)
    assert ("ood:reversed" in distribution.splits) == (directions == "forward")
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=2000) for split in distribution.splits}
    for split, task in drawn.items():
        for name, (low, high) in (RANGES | OTHER_RANGES.get(split, {})).items():
            values = np.asarray(getattr(task, name))
            values = np.abs(values) if directions == "either" else values
            assert low <= values.min() < low + 0.02 * (high - low)
            assert high - 0.02 * (high - low) < values.max() <= high
        forward = float((task.force > 0).mean())
        expected = 0.5 if directions == "either" else float(split != "ood:reversed")
        assert forward == pytest.approx(expected, abs=0.04 if directions == "either" else 0.0)
    for name in RANGES:
        assert not set(np.asarray(getattr(drawn["train"], name)).tolist()) & set(getattr(drawn["test"], name).tolist())


def steps_upright(distribution, make, split, *, count=100):
    """`[tasks, episodes]`, and the tasks."""
    agent, drawn = make(distribution.spec), distribution.sample_tasks(split, KEY, tasks=count)
    keys = jax.random.split(jax.random.key(2), count)
    rewards = jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward))(
        drawn, keys
    )
    return np.asarray(rewards).reshape(count, distribution.spec.episodes, -1).sum(-1), drawn


@pytest.mark.parametrize("split", ["train", "test", "ood:heavy-pole", "ood:long-pole", "ood:weak-actuator"])
def test_one_rule_keeps_every_pole_up_that_pushes_forward(split):
    steps, drawn = steps_upright(cart_pole(episodes=1), linear_control_agent, split)
    assert np.all(steps == 200)
    np.testing.assert_allclose(jax.vmap(cart_pole(episodes=1).ceiling)(drawn), 200)


def test_one_rule_keeps_no_pole_up_that_pushes_backward_unless_it_finds_that_out():
    distribution = cart_pole(episodes=2)
    fixed, _ = steps_upright(distribution, linear_control_agent, "ood:reversed")
    assert fixed.max() < 20
    found, _ = steps_upright(distribution, direction_finding_agent, "ood:reversed")
    assert np.all(found == 200)


def test_with_either_direction_a_fixed_rule_keeps_up_half_of_all_poles():
    distribution = cart_pole(directions="either", episodes=1)
    fixed, drawn = steps_upright(distribution, linear_control_agent, "train")
    np.testing.assert_array_equal(fixed[:, 0] == 200, drawn.force > 0)
    assert 30 < (drawn.force > 0).sum() < 70
    found, _ = steps_upright(distribution, direction_finding_agent, "train")
    assert np.all(found == 200)


def test_the_floor_is_what_random_actions_earn():
    distribution = cart_pole(horizon=60, episodes=4)
    steps, drawn = steps_upright(distribution, lambda spec: distribution.baselines["random"](), "train", count=500)
    floor = np.asarray(jax.vmap(distribution.floor)(drawn))
    error = (steps.sum(1) - floor).std() / len(floor) ** 0.5
    assert abs((steps.sum(1) - floor).mean()) < 3 * error + 0.02 * floor.mean()
    assert error < 0.02 * floor.mean()


def test_unknown_directions_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'either'"):
        cart_pole(directions="eiter")


@pytest.mark.parametrize("make", [linear_control_agent, direction_finding_agent])
@pytest.mark.parametrize("name", ["pendulum", "bernoulli-bandit"])
def test_agents_that_balance_refuse_other_spaces(make, name):
    with pytest.raises(SpecError, match="those of a cart-pole"):
        make(tasks.make(name).spec)
