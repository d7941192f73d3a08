"""The store of lifetimes: what it holds, what gives way, what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.rollout.replay import Replay, some_steps

STEPS = 3


def numbered(first, count):
    """Lifetimes `[T, count]` whose every step holds the lifetime's number."""
    return {"number": jnp.broadcast_to(jnp.arange(first, first + count), (STEPS, count))}


def store(room):
    return Replay.with_room_for(room, {"number": jnp.zeros(STEPS, jnp.int32)})


def test_the_oldest_gives_way():
    replay = store(4)
    assert (int(replay.held), replay.room, replay.bytes) == (0, 4, 4 * STEPS * 4)
    replay = replay.after(numbered(0, 3))
    assert int(replay.held) == 3
    replay = replay.after(numbered(3, 3))
    assert int(replay.held) == 4
    assert set(np.asarray(replay.lifetimes["number"])[:, 0].tolist()) == {2, 3, 4, 5}
    assert (np.asarray(replay.lifetimes["number"]) == np.asarray(replay.lifetimes["number"])[:, :1]).all()


def test_only_what_is_held_is_drawn_and_all_of_it_evenly():
    replay = store(10).after(numbered(1, 4))
    drawn = replay.draw(jax.random.key(0), 4000)["number"]
    assert drawn.shape == (STEPS, 4000)
    counts = np.bincount(np.asarray(drawn[0]), minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 1000).max() < 4 * np.sqrt(750)


def test_it_is_one_program_however_full_it_is():
    step = jax.jit(lambda replay, lifetimes: replay.after(lifetimes))
    replay = store(4)
    for first in range(0, 12, 2):
        replay = step(replay, numbered(first, 2))
    assert step._cache_size() == 1
    assert set(np.asarray(replay.lifetimes["number"])[:, 0].tolist()) == {8, 9, 10, 11}


def test_some_steps_are_of_the_same_lifetime_and_of_one_moment():
    lifetimes = {"number": numbered(0, 6)["number"], "step": jnp.broadcast_to(jnp.arange(STEPS)[:, None], (STEPS, 6))}
    drawn = some_steps(lifetimes | {"twice": 2 * lifetimes["step"]}, jax.random.key(0), steps=50)
    np.testing.assert_array_equal(drawn["number"], np.broadcast_to(np.arange(6), (50, 6)))
    np.testing.assert_array_equal(drawn["twice"], 2 * drawn["step"])
    assert set(np.asarray(drawn["step"]).ravel().tolist()) == set(range(STEPS))
