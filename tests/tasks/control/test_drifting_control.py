"""The buoy in the wind, by hand and against what can be computed otherwise; the agents that hold it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.control.drift_control import certainty_equivalence_agent, no_adaptation_agent
from quickstudy.numerics.beliefs.gaussian import credibility, marginal
from quickstudy.protocol.errors import SpecError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.control.drifting_control import SPLITS, Buoy, Wind, describe, drifting_control

KEY = jax.random.key(0)


def wind_of(*wind, turn=0.0, noise=0.2):
    return Wind(wind=jnp.float32(wind), turn=jnp.float32(turn), noise=jnp.float32(noise))


def lifetimes(distribution, agent, drawn, *, seed=1):
    """Lifetimes `[tasks, T]`, and the memories at their ends."""
    keys = jax.random.split(jax.random.key(seed), drawn.turn.size)
    return jax.jit(jax.vmap(lambda task, key: run_lifetime(agent, distribution, (), task, key)))(drawn, keys)


def test_a_step_by_hand():
    distribution = drifting_control()
    state = Buoy(place=jnp.float32([1.0, -0.5]), steps=jnp.int32(0))
    following, outcome = distribution.step(wind_of(0.3, 0.1, noise=0.0), state, jnp.float32([-0.6, 5.0]), KEY)
    # 0.8 · 1 - 0.6 + 0.3 and -0.8 · 0.5 + 2 + 0.1: the push of 5 is cut at 2.
    np.testing.assert_allclose(following.place, [0.5, 1.7], atol=1e-6)
    np.testing.assert_allclose(outcome.observation, following.place)
    assert float(outcome.reward) == pytest.approx(-(0.25 + 1.7**2) - 0.1 * (0.36 + 4), rel=1e-5)
    assert int(following.steps) == 1
    assert not outcome.terminated


def test_a_turning_wind_turns_to_the_left_and_begins_anew():
    distribution = drifting_control()
    task = wind_of(0.4, 0.0, turn=math.pi / 50, noise=0.0)
    for steps, blown in ((0, [0.4, 0.0]), (25, [0.0, 0.4]), (50, [-0.4, 0.0])):
        state = Buoy(place=jnp.zeros(2), steps=jnp.int32(steps))
        np.testing.assert_allclose(distribution.step(task, state, jnp.zeros(2), KEY)[0].place, blown, atol=1e-5)
    assert int(distribution.reset(task, KEY)[0].steps) == 0


def test_noise_of_steps_and_of_observations_has_its_deviation():
    distribution = drifting_control(observation_noise=0.3)
    states, seen = jax.vmap(lambda key: distribution.reset(wind_of(0.0, 0.0), key))(jax.random.split(KEY, 4000))
    following, outcome = jax.vmap(distribution.step, (None, 0, None, 0))(
        wind_of(0.0, 0.0), states, jnp.zeros(2), jax.random.split(jax.random.key(1), 4000)
    )
    for noise, deviation in (
        (states.place, 0.5),
        (seen - states.place, 0.3),
        (following.place - 0.8 * states.place, 0.2),
        (outcome.observation - following.place, 0.3),
    ):
        assert np.asarray(noise).std() == pytest.approx(deviation, rel=4 / 16_000**0.5)


def test_splits_say_how_strong_steady_and_rough_winds_are_and_share_none():
    distribution = drifting_control()
    drawn = {split: distribution.sample_tasks(split, KEY, tasks=10_000) for split in SPLITS}
    for split, task in drawn.items():
        strength = np.linalg.norm(task.wind, axis=1)
        if split == "ood:strong-wind":
            assert 1.2 - 1e-3 <= strength.min() < 1.21
            assert 1.59 < strength.max() <= 1.6 + 1e-3
        else:
            assert np.asarray(task.wind).std(axis=0) == pytest.approx(0.4, rel=4 / 20_000**0.5)
        assert np.all(task.noise == np.float32(0.6 if split == "ood:gusts" else 0.2))
        assert np.all(task.turn == np.float32(math.pi / 50 if split == "ood:turning-wind" else 0.0))
    winds = {split: set(np.asarray(task.wind).ravel().tolist()) for split, task in drawn.items()}
    assert len(set().union(*winds.values())) == sum(map(len, winds.values()))


def test_people_read_the_wind_by_its_coordinates():
    described = describe(wind_of(0.1, -0.2, 0.3, turn=math.pi / 2))
    assert [float(described[name]) for name in ("wind_x", "wind_y", "wind_z")] == pytest.approx([0.1, -0.2, 0.3])
    assert float(described["turn (degrees a step, to the left)"]) == pytest.approx(90)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["test", "ood:turning-wind"])
def test_the_floor_is_what_random_pushes_earn(split):
    distribution = drifting_control(horizon=20)
    drawn = distribution.sample_tasks(split, KEY, tasks=2000)
    returned = lifetimes(distribution, distribution.baselines["random"](), drawn)[0].outcome.reward.sum(1)
    beyond = np.asarray(returned - jax.vmap(distribution.floor)(drawn))
    assert abs(beyond.mean()) < 4 * beyond.std() / len(beyond) ** 0.5
    assert beyond.std() / len(beyond) ** 0.5 < 0.02 * abs(np.asarray(returned).mean())


@pytest.mark.parametrize("observation_noise", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
def test_the_belief_is_that_of_all_observations_at_once(observation_noise):
    """The joint Gaussian of the wind and of everything that was seen, conditioned in one stroke, in float64."""
    distribution = drifting_control(horizon=6, episodes=2, observation_noise=observation_noise)
    agent = distribution.baselines["certainty equivalence"]()
    drawn = distribution.sample_tasks("test", KEY, tasks=1)
    recorded, memory = jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), lifetimes(distribution, agent, drawn))
    # Unknown: the wind, then of each episode its start and 6 noises; each row of `seen` is one place, less what pushes did.
    unknown = 2 + 2 * 2 * 7
    prior = np.diag([0.4**2] * 2 + ([0.5**2] * 2 + [0.2**2] * 12) * 2)
    rows, values = [], []
    for episode in range(2):
        first = 2 + 14 * episode
        row, known = np.zeros((2, unknown)), np.zeros(2)
        row[:, first : first + 2] = np.eye(2)
        rows.append(row)
        values.append(recorded.observation[6 * episode] - known)
        for step in range(6):
            row, known = 0.8 * row, 0.8 * known + recorded.decision.action[6 * episode + step]
            row[:, :2] += np.eye(2)
            row[:, first + 2 + 2 * step : first + 4 + 2 * step] += np.eye(2)
            rows.append(row)
            values.append(recorded.outcome.observation[6 * episode + step] - known)
    matrix, value = np.concatenate(rows), np.concatenate(values)
    spread = matrix @ prior @ matrix.T + (observation_noise**2 + 1e-12) * np.eye(len(value))
    gain = np.linalg.solve(spread, matrix @ prior[:, :2]).T
    np.testing.assert_allclose(memory.mean[2:], gain @ value, atol=2e-5)
    np.testing.assert_allclose(memory.covariance[2:, 2:], prior[:2, :2] - gain @ matrix @ prior[:, :2], atol=2e-6)
    # And the place is believed to be drawn anew.
    np.testing.assert_allclose(memory.mean[:2], 0)
    np.testing.assert_allclose(memory.covariance[:2, :2], 0.25 * np.eye(2))


@pytest.mark.slow
def test_agents_earn_what_was_measured_and_only_a_right_belief_covers():
    """Golden, 500 tasks of test: certainty equivalence 0.747 (0.045) short of the ceiling, no adaptation 33.4 (1.5)."""
    distribution = drifting_control()
    short = {}
    for split in ("test", "ood:gusts"):
        drawn = distribution.sample_tasks(split, jax.random.key(7), tasks=400)
        ceiling = np.asarray(jax.vmap(distribution.ceiling)(drawn))
        recorded, memory = lifetimes(distribution, distribution.baselines["certainty equivalence"](), drawn)
        short[split] = ceiling - np.asarray(recorded.outcome.reward).sum(1)
        belief = jax.vmap(lambda one: marginal(one, slice(2, None)))(memory)
        inside = np.asarray(jax.vmap(credibility)(belief, drawn.wind)) <= 0.9
        if split == "test":
            assert inside.mean() == pytest.approx(0.9, abs=4 * 0.3 / 400**0.5)
            # What it says of the belief when it decides is what it knew one step before the end.
            said = recorded.decision.extras["belief"]
            assert said.mean.shape == (400, 100, 2)
            np.testing.assert_allclose(said.covariance[:, 99, 0, 0], 0.2**2 / (99 + 0.25), rtol=1e-3)
            idle, _ = lifetimes(distribution, distribution.baselines["no adaptation"](), drawn)
            lost = ceiling - np.asarray(idle.outcome.reward).sum(1)
            assert abs(lost.mean() - 33.4) < 4 * math.hypot(1.5, lost.std() / 20)
        else:
            assert inside.mean() < 0.6
    error = short["test"].std() / 20
    assert abs(short["test"].mean() - 0.747) < 4 * math.hypot(0.045, error)
    assert short["test"].mean() > 4 * error


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"dimensions": 4}, "2 or 3"), ({"wind": 0.0}, "wind must be above 0"), ({"observation_noise": -1.0}, "0 or more")],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        drifting_control(**settings)


@pytest.mark.parametrize("make", [certainty_equivalence_agent, no_adaptation_agent])
def test_agents_refuse_other_spaces(make):
    with pytest.raises(SpecError, match="of the same shape"):
        make(tasks.make("pendulum").spec)
