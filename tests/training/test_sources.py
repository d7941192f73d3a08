"""Sources of lifetimes: the choice of one, what each gives, what the replayed one keeps, and resuming with it."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS
from quickstudy.training.fresh_source import FreshSource
from quickstudy.training.lifetime_source import affordable_tasks, collected
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.sources import ReplayedSource, held_out_tasks, source_for
from quickstudy.training.update import initial_state, run_update, update_program

SMALL = {"hidden_sizes": (8,), "lifetimes": 4, "room": 6, "gradient_steps": 2, "replayed": 4, "steps": 3}
STEPS_PER_UPDATE = 4 * 5


@pytest.fixture(scope="module")
def distribution():
    return tasks.make("bernoulli-bandit", arms=2, pulls=5)


@pytest.fixture(scope="module")
def pearl(distribution):
    return algorithms.make("pearl", distribution.spec, **SMALL)


def test_the_source_is_what_the_algorithm_wants(distribution, pearl):
    rl2 = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=8)
    assert isinstance(source_for(rl2, distribution, tasks=4), FreshSource)
    source = source_for(pearl, distribution, tasks=4)
    assert isinstance(source, ReplayedSource)
    replay, _ = source.initial()
    assert (replay.room, int(replay.held)) == (6, 0)


@pytest.mark.slow
def test_every_seed_has_a_store_that_holds_its_newest_lifetimes(distribution, pearl):
    source, roots = source_for(pearl, distribution, tasks=4), jax.vmap(jax.random.key)(jnp.arange(2))
    program, state = update_program(pearl, source), initial_state(pearl, source, roots)
    held = []
    for update in range(3):
        state, metrics = run_update(program, source, state, roots, update, 0.0)
        replay, _ = state.kept
        held.append(replay.added.tolist())
        # The lifetimes of all devices are in it: their mean return is that of the update.
        places = (4 * update + np.arange(4)) % 6
        returns = np.asarray(replay.lifetimes.reward)[:, places].sum(-1)
        np.testing.assert_allclose(returns.mean(1), metrics["train_return"], rtol=1e-6)
    assert held == [[4, 4], [8, 8], [12, 12]]
    rewards = np.asarray(replay.lifetimes.reward)
    assert not np.array_equal(rewards[0], rewards[1])


@pytest.mark.slow
def test_a_run_with_a_store_resumes_to_the_same_bits(distribution, pearl, tmp_path):
    config = TrainingConfig(
        budget=f"{6 * STEPS_PER_UPDATE} steps", seeds=2, held_out_tasks=4, evaluation_seconds=600.0, checkpoint_seconds=0.0
    )

    def stop_at_third(progress):
        if progress.update == 3:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = meta_train(pearl, distribution, config, folder=tmp_path, watch=stop_at_third)
    assert not stopped.finished
    resumed = meta_train(pearl, distribution, config, folder=tmp_path, resume=True)
    whole = meta_train(pearl, distribution, config)
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
    assert any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (stopped.params, whole.params)), strict=True))


def test_non_finite_steps_are_masked_where_lifetimes_leave_their_source(distribution, pearl):
    source = FreshSource(pearl, distribution, tasks=4)
    params = pearl.params(pearl.init(jax.random.key(0)))
    _, batch = source.next((), params, (), jax.random.split(jax.random.key(1), 4))
    assert not batch.nonfinite.any()
    reward = batch.fresh.outcome.reward.at[2, 1].set(jnp.nan)
    spoilt = dataclasses.replace(batch.fresh, outcome=dataclasses.replace(batch.fresh.outcome, reward=reward))
    found = collected(spoilt)
    assert np.argwhere(found.nonfinite).tolist() == [[2, 1]]
    assert np.argwhere(~found.fresh.valid).tolist() == [[2, 1]]
    assert float(found.fresh.outcome.reward[2, 1]) == 0.0
    np.testing.assert_array_equal(found.given.outcome.reward, found.fresh.outcome.reward)
    # The store, too, is given the masked step.
    add = lambda supplied: source_of(spoilt, pearl, distribution).next(replay_of(pearl, distribution), None, supplied, None)  # noqa: E731
    (replay, _), _ = jax.tree.map(lambda leaf: leaf[0], jax.vmap(add, axis_name=LIFETIMES_AXIS)(jnp.zeros(1)))
    assert not bool(replay.lifetimes.valid[1, 2])
    assert bool(jnp.isfinite(replay.lifetimes.reward).all())


def replay_of(pearl, distribution):
    return source_for(pearl, distribution, tasks=4).initial()


class Recorded:
    """A source that gives the lifetimes it was made with."""

    supplies = False
    compile = supply = held_out = seconds = close = None

    def __init__(self, lifetimes):
        self.lifetimes = lifetimes

    def initial(self):
        return ()

    def next(self, kept, params, supplied, keys):
        return kept, collected(self.lifetimes)


def source_of(lifetimes, pearl, distribution):
    return ReplayedSource(Recorded(lifetimes), distribution.spec, room=pearl.wants.room)


def test_held_out_tasks_are_fewer_where_lifetimes_are_long():
    spec_of = lambda pulls: tasks.make("bernoulli-bandit", arms=2, pulls=pulls).spec  # noqa: E731
    counts = [affordable_tasks(512, spec_of(pulls), most_steps=2**19, least=32) for pulls in (100, 1024, 8000, 10**6)]
    assert counts == [512, 512, 65, 32]


def test_held_out_tasks_are_the_same_whenever_they_are_drawn(distribution):
    (first, keys), (second, same) = (held_out_tasks(distribution, tasks=8) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert keys.shape == (8,)
    assert bool((keys == same).all())
