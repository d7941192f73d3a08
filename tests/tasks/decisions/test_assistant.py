"""The assistant by hand: what a moment earns and shows, the ceiling, the splits, and the settings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.models.assistant import (
    ASK,
    DISMISSED,
    KEPT,
    NOTHING_SEEN,
    SILENT,
    UNDONE,
    WISH,
    Assistant,
    Moment,
    expected_values,
    moment_of,
    observed,
)
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.assistant import SPLITS, User, assistant

KEY = jax.random.key(0)
# One situation, two things to do, and nothing random but what a test says.
PLAIN = {"situations": 1, "actions": 2, "clusters": 1, "steps": 4, "steady": 1.0, "misheard": 0.0, "watched": 0.0}


def user(favourite=1, second=1, *, changes=4, other=0.0, patience=1.0, steady=1.0):
    return User(
        favourites=jnp.int32([[favourite], [second]]),
        clusters=jnp.int32([0, 0]),
        changes=jnp.int32(changes),
        other=jnp.float32(other),
        patience=jnp.float32(patience),
        steady=jnp.float32(steady),
    )


def played(task, actions, **settings):
    """Rewards, and what came of the moments, of a list of actions."""
    prior = Assistant(**(PLAIN | settings))
    distribution = tasks.make("assistant", **(PLAIN | settings))
    state, _ = distribution.reset(task, KEY)
    earned, came = [], []
    for place, action in enumerate(actions):
        state, outcome = distribution.step(task, state, jnp.int32(action), jax.random.key(place))
        earned.append(float(outcome.reward))
        came.append(int(moment_of(outcome.observation, prior).came))
    return earned, came


@pytest.mark.parametrize(
    ("favourite", "patience", "action", "reward", "came"),
    [
        (1, 1.0, SILENT, 0.0, NOTHING_SEEN),
        (1, 1.0, 2, 1.0, KEPT),
        (1, 1.0, 3, -1.5, UNDONE),
        (0, 1.0, 2, -1.5, UNDONE),
        (2, 1.0, ASK, 0.7, WISH + 2),
        (0, 1.0, ASK, -0.3, WISH),
        (2, 0.0, ASK, -0.3, DISMISSED),
    ],
)
def test_a_moment_by_hand(favourite, patience, action, reward, came):
    earned, seen = played(user(favourite, patience=patience), [action], wrong=1.5, question=0.3)
    assert earned == [pytest.approx(reward)]
    assert seen == [came]


def test_what_a_silent_assistant_sees_and_what_it_mishears():
    assert played(user(2), [SILENT], watched=1.0) == ([0.0], [WISH + 2])
    # Of 0, 1 and 2, another one than 2 is heard: nothing happens, or what was not wished is done.
    for earned, came in zip(*played(user(2), [ASK] * 4, misheard=1.0, tired=1.0, question=0.3, wrong=1.5), strict=True):
        assert (earned, came) in ((pytest.approx(-0.3), WISH), (pytest.approx(-1.8), WISH + 1))


def test_a_user_is_tired_after_a_question():
    _, came = played(user(1), [ASK, ASK, SILENT, ASK], tired=0.0, pause=1)
    assert came == [WISH + 1, DISMISSED, NOTHING_SEEN, WISH + 1]
    _, came = played(user(1), [ASK, SILENT, ASK], tired=0.0, pause=2)
    assert came == [WISH + 1, NOTHING_SEEN, DISMISSED]


def test_favourites_change_at_their_moment_and_people_take_turns():
    assert played(user(1, 2, changes=2), [2, 2, 2, 3])[1] == [KEPT, KEPT, UNDONE, KEPT]
    assert played(user(1, 2, other=1.0), [2, 3])[1] == [UNDONE, KEPT]


def test_an_observation_gives_the_moment_back():
    prior = Assistant(situations=3, steps=7)
    for came in (-1, KEPT, WISH + 4):
        moment = Moment(step=jnp.int32(5), rest=jnp.int32(2), situation=jnp.int32(1), came=jnp.int32(came))
        seen = observed(moment, prior)
        assert prior.spec.observation_space.contains(np.asarray(seen))
        assert jax.tree.map(int, moment_of(seen, prior)) == jax.tree.map(int, moment)


def test_expected_values_are_those_of_every_case():
    prior = Assistant(actions=2, misheard=0.3, wrong=1.5, question=0.4)
    wishes, answers = np.float64([0.2, 0.5, 0.3]), 0.6
    reward = lambda wish, done: 0.0 if done == 0 else (1.0 if done == wish else -1.5)  # noqa: E731
    hears = lambda wish, heard: 0.7 if heard == wish else 0.15  # noqa: E731
    asks = sum(wishes[w] * hears(w, h) * reward(w, h) for w in range(3) for h in range(3))
    known = [0.0, answers * asks - 0.4, *(sum(wishes[w] * reward(w, k) for w in range(3)) for k in (1, 2))]
    np.testing.assert_allclose(expected_values(prior, jnp.float32(wishes), jnp.float32(answers)), known, atol=1e-6)


def test_ceiling_and_floor_by_hand():
    # Wishes are 0 or 1, each half of the time, so to do 1 earns 0. A question earns 0.8 · 0.5 - 0.1 = 0.3 from a rested user.
    settings = PLAIN | {"actions": 1, "question": 0.1, "pause": 1, "tired": 0.0}
    task = user(1, patience=0.8, steady=0.5)
    for steps, questions in ((1, 1), (2, 1), (3, 2), (4, 2)):
        assert float(assistant(**settings | {"steps": steps + (steps == 1)}).ceiling(task)) == pytest.approx(0.3 * questions)
    # At random every third action is a question: 0.3 if the one before was none, else -0.1.
    rested = 2 / 3
    expected = (0.3 + 3 * (rested * 0.3 - (1 - rested) * 0.1)) / 3
    assert float(assistant(**settings).floor(task)) == pytest.approx(expected, rel=1e-5)
    # Known favourites are done, and nobody is asked; of two people with different ones, the assistant had better ask.
    known = assistant(**PLAIN)
    assert float(known.ceiling(user(1))) == pytest.approx(4.0)
    assert float(known.ceiling(user(0))) == pytest.approx(0.0)
    assert float(known.ceiling(user(0, 1, changes=1))) == pytest.approx(3.0)
    assert float(assistant(**PLAIN | {"tired": 1.0}).ceiling(user(1, 2, other=0.5))) == pytest.approx(4 * 0.5)


@pytest.mark.slow
def test_random_actions_earn_the_floor():
    distribution = assistant(situations=3, steps=12)
    drawn = distribution.sample_tasks("ood:two-people", KEY, tasks=1000)
    agent = distribution.baselines["random"]()
    play = lambda task, key: run_lifetime(agent, distribution, (), task, key)[0].outcome.reward.sum()  # noqa: E731
    earned = np.asarray(jax.jit(jax.vmap(play))(drawn, jax.random.split(jax.random.key(1), 1000)))
    apart = earned - np.asarray(jax.vmap(distribution.floor)(drawn))
    assert abs(apart.mean()) < 4 * apart.std() / 1000**0.5


def test_splits_are_what_they_say():
    prior, distribution = Assistant(), assistant()
    rows = prior.cluster_favourites
    drawn = {split: jax.tree.map(np.asarray, distribution.sample_tasks(split, KEY, tasks=600)) for split in SPLITS}
    own = drawn["test"].favourites[:, 0] != rows[drawn["test"].clusters[:, 0]]
    assert abs(own.mean() - 0.2 * 4 / 5) < 4 * 0.4 / 3600**0.5
    assert (drawn["test"].clusters >= 0).all()
    assert abs((drawn["train"].clusters[:, 0] < 0).mean() - 0.25) < 4 * 0.43 / 600**0.5
    assert abs((drawn["test"].changes < 60).mean() - 0.3) < 4 * 0.46 / 600**0.5
    alike = lambda split: (drawn[split].favourites[:, :1] == rows).sum(-1).max(-1).mean()  # noqa: E731
    assert alike("ood:outside-clusters") < alike("test") - 2
    inverted = drawn["ood:inverted"].favourites[:, 0]
    assert ((inverted == 0) | (inverted[:, None] != rows).any(1)).all()
    assert (((inverted[:, None] == 0) != (rows == 0)).all(-1).any(-1)).all()
    two = drawn["ood:two-people"]
    assert (two.clusters[:, 0] != two.clusters[:, 1]).all()
    assert (two.other == 0.5).all()
    assert (two.changes == 60).all()
    assert drawn["ood:impatient"].patience.max() < 0.2 < 0.3 <= drawn["test"].patience.min()
    assert drawn["test"].patience.max() <= 0.95
    assert drawn["ood:fickle"].steady.max() == pytest.approx(0.4)


def test_settings_of_the_class_are_those_of_the_name():
    assert tasks.make("assistant", steps=30).config == dataclasses.asdict(Assistant(steps=30))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"patience_low": 0.9, "patience_high": 0.5}, "patience_low must not be above"),
        ({"favourites": (1, 2)}, r"favourites must hold 6 rows of 6 numbers, 36 in all"),
        ({"favourites": (9,) * 36}, "favourites must lie within 0"),
        ({"steady": 0.0}, "steady must be above zero"),
        ({"steps": 1}, "steps must"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        Assistant(**settings)
