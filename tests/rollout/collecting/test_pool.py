"""How a pool shares lifetimes, and how it replaces workers that are lost; with workers that only report it."""

import dataclasses
import threading
import time

import jax
import numpy as np
import pytest

from marks import slow_but
from quickstudy.protocol.errors import CollectingError, SpecError, UsageError
from quickstudy.rollout.collecting.pool import WorkerPool
from quickstudy.rollout.collecting.worker import InProcessWorker, WorkerLostError
from rollout.collecting.environments import assert_same, batch, but, slides


class Frail:
    """A worker in this process that is lost at some lifetimes; `blamed` says whether it reports which one."""

    def __init__(self, distribution, *, frail, blamed, closed):
        self._inline, self._frail, self._blamed, self._closed = (
            InProcessWorker(distribution, parallel_environments=3),
            frail,
            blamed,
            closed,
        )

    def run(self, job, report_steps):
        for number, key in enumerate(job.keys):
            if self._frail(tuple(key)):
                raise WorkerLostError("it is frail", number if self._blamed else None)
        return self._inline.run(job, report_steps)

    def close(self, *, kill=False):
        self._inline.close()
        self._closed.append(kill)


def frail_pool(distribution, *, workers, frail=lambda key: False, blamed=True):
    closed = []
    return WorkerPool(
        distribution, lambda: Frail(distribution, frail=frail, blamed=blamed, closed=closed), workers=workers
    ), closed


@pytest.fixture(scope="module")
def distribution():
    return slides()


@pytest.fixture(scope="module")
def whole(distribution):
    with frail_pool(distribution, workers=1)[0] as pool:
        return pool.run(*batch(distribution, lifetimes=9))


def keys_of(asked, *rows):
    return {tuple(np.asarray(jax.random.key_data(asked[3][row]))) for row in rows}


@pytest.mark.parametrize("workers", slow_but([2], [2, 3, 20]))
def test_lifetimes_come_in_their_order_however_they_are_shared(workers, distribution, whole):
    with frail_pool(distribution, workers=workers)[0] as pool:
        found = pool.run(*batch(distribution, lifetimes=9))
    assert_same(but(found), but(whole), tolerance=1e-5)
    assert found.steps == whole.steps


def test_every_lifetime_that_kills_is_lost_and_no_other(distribution, whole, capsys):
    asked = batch(distribution, lifetimes=9)
    deadly = keys_of(asked, 0, 4, 5)
    pool, closed = frail_pool(distribution, workers=2, frail=deadly.__contains__)
    with pool:
        found = pool.run(*asked)
        again = pool.run(*asked)
    np.testing.assert_array_equal(np.flatnonzero(found.lost), [0, 4, 5])
    assert_same(but(found, 0, 4, 5), but(whole, 0, 4, 5), tolerance=1e-5)
    assert_same(but(again), but(found))
    assert (pool.lost, pool.replaced) == (6, 12)
    assert closed.count(True) == 12
    assert capsys.readouterr().err.count("a worker was replaced: it is frail") == 12


def test_where_the_lifetime_is_not_known_the_share_is_lost(distribution, whole, capsys):
    asked = batch(distribution, lifetimes=9)
    with frail_pool(distribution, workers=3, frail=keys_of(asked, 4).__contains__, blamed=False)[0] as pool:
        found = pool.run(*asked)
    np.testing.assert_array_equal(np.flatnonzero(found.lost), [3, 4, 5])
    assert_same(but(found, 3, 4, 5), but(whole, 3, 4, 5), tolerance=1e-5)
    assert pool.replaced == 2


def test_a_share_that_goes_on_killing_is_given_up(distribution, capsys):
    asked = batch(distribution, lifetimes=9)
    with frail_pool(distribution, workers=1, frail=lambda key: True)[0] as pool:
        with pytest.raises(CollectingError, match="every worker died"):
            pool.run(*asked)
        assert pool.replaced == 10


def test_no_worker_is_started_for_a_pool_that_closes(distribution, capsys):
    def frail(key):
        closing.start()
        while not closed:
            time.sleep(0.01)
        return True

    pool, closed = frail_pool(distribution, workers=1, frail=frail)
    closing = threading.Thread(target=pool.close)
    with pytest.raises(WorkerLostError):
        pool.run(*batch(distribution, lifetimes=2))
    closing.join()
    assert (pool.replaced, len(closed)) == (0, 1)


def test_workers_are_closed_if_one_of_them_does_not_start(distribution):
    closed, numbers = [], iter(range(3))

    def spawn():
        if next(numbers) == 1:
            raise UsageError("there is no room for another.")
        return Frail(distribution, frail=lambda key: False, blamed=True, closed=closed)

    with pytest.raises(UsageError, match="no room"):
        WorkerPool(distribution, spawn, workers=3)
    assert closed == [False, False]


def test_an_agent_that_was_made_for_other_tasks_is_refused(distribution):
    _, *asked = batch(distribution)
    agent = batch(slides())[0]
    with frail_pool(slides(), workers=1)[0] as pool:
        spec = dataclasses.replace(agent.spec, horizon=8)
        with pytest.raises(SpecError, match="horizon"):
            pool.run(dataclasses.replace(agent, spec=spec), *asked)
