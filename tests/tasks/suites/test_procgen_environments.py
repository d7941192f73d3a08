"""Procgen itself: what an episode on a level is made of, frame by frame."""

import pickle

import jax
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.actor import Actor
from quickstudy.tasks.suites.procgen import LEVELS, STEP_LIMITS, TEST_FROM

pytestmark = pytest.mark.suites
pytest.importorskip("envpool.procgen", exc_type=ImportError, reason="EnvPool, or Qt 5 for its Procgen, is not installed")

KEY = np.zeros(2, np.uint32)
ACTIONS = np.random.default_rng(0).integers(0, 15, (2, 60))


@pytest.fixture
def opened():
    """Opens environments, and closes them after the test."""
    environments = []

    def open_one(level, **settings):
        environment = tasks.make("procgen", **settings).open()
        environments.append(environment)
        environment.begin(np.int32(level), KEY)
        return environment

    yield open_one
    for environment in environments:
        environment.close()


def episode(environment, actions):
    """An episode until it ends or the actions do: its frames, with the first, and what followed every action."""
    frames, steps = [environment.reset(0)], []
    for slot, action in enumerate(actions):
        steps.append(environment.step(slot, action))
        frames.append(steps[-1].observation)
        if steps[-1].terminated or steps[-1].truncated:
            break
    return np.stack(frames), [step[1:] for step in steps]


@pytest.mark.parametrize("mode", ["easy", "hard"])
@pytest.mark.parametrize("game", STEP_LIMITS)
def test_a_level_is_the_same_in_every_episode_and_every_environment(opened, game, mode):
    environment, other = (opened(level, game=game, mode=mode) for level in (3, 3))
    first = episode(environment, ACTIONS[0])
    episode(environment, ACTIONS[1])
    after_another = episode(environment, ACTIONS[0])
    elsewhere = episode(other, ACTIONS[0])
    assert tasks.make("procgen").spec.observation_space.contains(first[0][0])
    for again in (after_another, elsewhere):
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] == again[1]
    environment.begin(np.int32(TEST_FROM + 3), KEY)
    assert (environment.reset(0) != first[0][0]).any()


def test_the_first_and_the_last_level_can_be_made(opened):
    frames = [opened(level).reset(0) for level in (0, 1, TEST_FROM, LEVELS - 1)]
    assert len({frame.tobytes() for frame in frames}) == 4


def test_environments_beside_each_other_do_not_meet(opened):
    alone = [episode(opened(level), ACTIONS[0])[0] for level in (5, 6)]
    together = [opened(level) for level in (5, 6)]
    frames = [[environment.reset(0)] for environment in together]
    for slot, action in enumerate(ACTIONS[0]):
        for environment, seen in zip(together, frames, strict=True):
            seen.append(environment.step(slot, action).observation)
    for seen, expected in zip(frames, alone, strict=True):
        np.testing.assert_array_equal(np.stack(seen), expected)


@pytest.mark.parametrize("game", ["bossfight", "fruitbot", "starpilot"])
def test_an_episode_ends_with_its_own_last_frame(opened, game):
    """The frame at the end is not that of a reset; in these games everything drifts on, so that it is not the one before."""
    environment = opened(4, game=game)
    frames, steps = episode(environment, np.random.default_rng(1).integers(0, 15, 900))
    assert steps[-1][1:3] == (True, False)
    assert not any(terminated or truncated for _, terminated, truncated, _ in steps[:-1])
    distance = np.abs(frames[-1].astype(float) - frames).mean((1, 2, 3))
    assert 0 < distance[-2] < distance[0]
    np.testing.assert_array_equal(environment.reset(1), frames[0])


def test_a_solved_level_is_measured_as_such(opened):
    """Walking right, and jumping at times, takes the coin of some easy levels."""
    actions = np.where(np.arange(200) % 3, 8, 7)
    environment = opened(0)
    ends = []
    for level in range(40):
        environment.begin(np.int32(level), KEY)
        steps = episode(environment, actions)[1]
        assert not any(step[3]["solved"] for step in steps[:-1])
        ends.append((steps[-1][0], steps[-1][3]["solved"]))
    assert set(ends) == {(0.0, 0.0), (10.0, 1.0)}


@pytest.mark.parametrize("game", STEP_LIMITS)
def test_the_limits_are_those_of_the_suite(game):
    envpool = pytest.importorskip("envpool")
    for mode in ("Easy", "Hard"):
        assert envpool.make_spec(f"{game.capitalize()}{mode}-v0").config.max_episode_steps == STEP_LIMITS[game]


def test_a_game_ends_by_itself_at_its_limit(opened):
    """Standing still in a maze is not an end of the task."""
    _, steps = episode(opened(3, game="maze"), np.full(600, 4))
    assert len(steps) == 500
    assert steps[-1][1:3] == (False, True)


def test_an_environment_is_opened_wherever_it_is_sent():
    distribution = tasks.make("procgen", game="maze")
    environment = pickle.loads(pickle.dumps(distribution.open))()
    task = pickle.loads(pickle.dumps(distribution.sample))("train", np.random.default_rng(0))
    environment.begin(task, KEY)
    assert environment.reset(0).shape == (64, 64, 3)
    environment.close()


def test_an_agent_lives_a_lifetime_on_a_level(opened):
    distribution = tasks.make("procgen", game="bossfight", horizon=250)
    agent = random_agent(distribution.spec)
    actor = Actor(agent, agent.init(jax.random.key(0)))
    environment = opened(7, game="bossfight")
    for number in range(2):
        observation, ended = environment.reset(number), False
        for slot in range(250):
            stepped = environment.step(number * 250 + slot, actor.act(observation))
            observation, ended = stepped.observation, stepped.terminated or stepped.truncated
            actor.observe(reward=stepped.reward, observation=observation, terminated=ended)
            if ended:
                break
    assert ended
