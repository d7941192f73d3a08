"""A fault costs the lifetime that it happens in, and no other; it is shown once, and counted."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from marks import slow_but
from quickstudy.protocol.errors import CollectingError, MissingExtraError, TaskDistributionError, UsageError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.nonfinite import mask_nonfinite
from rollout.collecting.environments import AGENTS, EPISODES, FAULTS, FAULTY_SLOT, HORIZON, assert_same, batch, but, slides

INLINE = CollectingConfig(collectors="inline", parallel_environments=3)
LOSING = {
    "make": "RuntimeError: no such track",
    "set_task": "RuntimeError: the track cannot be bent",
    "reset": "RuntimeError: the track is blocked",
    "second reset": "RuntimeError: the track is blocked",
    "step": "RuntimeError: the motor is stuck",
    "shape": "step gives an observation float64[3]; the observation space asks for float32[2]",
    "shape of reset": "reset gives an observation float64[3]; the observation space asks for float32[2]",
    "no reward": "step gives a reward None; it must be one number",
    "text for a reward": "step gives a reward 'much'; it must be one number",
}
NOT_FINITE = ("is not finite", "beyond 32 bits")
RAISED_AT = {
    "make": 'raise RuntimeError("no such track")',
    "set_task": 'raise RuntimeError("the track cannot be bent")',
    "second reset": 'raise RuntimeError("the track is blocked")',
    "step": 'raise RuntimeError("the motor is stuck")',
}


def lived(distribution, asked, config=INLINE):
    """The result of a batch, and the pool, closed."""
    with open_pool(distribution, config) as pool:
        return pool.run(*asked), pool


@pytest.fixture(scope="module")
def undisturbed():
    """The result of a batch without a fault, by cadence and by whether environments are set or made."""

    @functools.cache
    def result(cadence, settable):
        distribution = slides(settable=settable)
        return lived(distribution, batch(distribution, cadence=cadence))[0]

    return result


@pytest.mark.parametrize("fault", LOSING)
@pytest.mark.parametrize("cadence", slow_but([1], [1, 2]))
def test_only_the_lifetime_in_which_it_happens_is_lost(fault, cadence, undisturbed, capsys):
    settable = fault == "set_task"
    distribution = slides(settable=settable)
    # Three environments at a time: each runs another lifetime after a fault.
    found, pool = lived(distribution, batch(distribution, faults={1: fault, 4: fault}, cadence=cadence))
    if settable:  # the first lifetime of an environment is made with its task, and does not set it
        np.testing.assert_array_equal(np.flatnonzero(found.lost), [4])
    else:
        np.testing.assert_array_equal(np.flatnonzero(found.lost), [1, 4])
    rows = np.flatnonzero(found.lost)
    assert_same(but(found, *rows), but(undisturbed(cadence, settable), *rows))
    assert not found.valid[:, rows].any()
    assert not found.reward[:, rows].any()
    assert not found.lifetimes.outcome.terminated[:, rows].any()
    assert all(np.isnan(measured[:, rows]).all() for measured in found.measures.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.lifetimes))
    said = capsys.readouterr().err
    assert said.count(LOSING[fault]) == 1
    assert said.count("Traceback") == 1
    if fault in RAISED_AT:
        assert "environments.py" in said
        assert RAISED_AT[fault] in said
    assert (pool.lost, pool.replaced) == (len(rows), 0)
    ((text, count),) = pool.faults.items()
    assert LOSING[fault] in text
    assert count == len(rows)


def test_a_fault_is_shown_once_however_often_it_comes(capsys):
    distribution = slides()
    asked = batch(distribution, faults=dict.fromkeys(range(6), "step"))
    with open_pool(distribution, INLINE) as pool:
        for _ in range(2):
            assert pool.run(*asked).lost.sum() == 6
    assert capsys.readouterr().err.count("the motor is stuck") == 2  # its line, and its message
    assert (pool.lost, list(pool.faults.values())) == (12, [12])


@pytest.mark.parametrize("fault", [f"{what} {how}" for what in ("reward", "observation") for how in NOT_FINITE])
def test_a_number_that_is_not_finite_is_masked_and_costs_no_lifetime(fault, undisturbed):
    distribution = slides()
    found, pool = lived(distribution, batch(distribution, faults={4: fault}))
    assert not found.lost.any()
    assert (pool.lost, pool.faults) == (0, {})
    assert_same(but(found, 4), but(undisturbed(1, False), 4))
    _, masked = mask_nonfinite(jax.tree.map(lambda leaf: leaf[:, 4], found.lifetimes))
    happened = np.flatnonzero(found.valid[:, 4])
    assert happened[FAULTY_SLOT - 1] in np.flatnonzero(masked)


def test_a_measure_that_one_step_lacks_is_not_known_there_and_costs_no_lifetime(undisturbed, capsys):
    distribution = slides()
    found, pool = lived(distribution, batch(distribution, faults={4: "no measure"}))
    assert not found.lost.any()
    assert not capsys.readouterr().err
    assert (pool.unmeasured, pool.faults) == (set(), {})
    np.testing.assert_array_equal(found.reward, undisturbed(1, False).reward)
    unknown = np.isnan(found.measures["far"]) & found.valid
    assert np.argwhere(unknown).tolist() == [[np.flatnonzero(found.valid[:, 4])[FAULTY_SLOT - 1], 4]]
    assert not (np.isnan(found.measures["seen"]) & found.valid).any()


def test_steps_and_seconds_are_counted(undisturbed):
    distribution = slides()
    found, _ = lived(distribution, batch(distribution, faults={4: "step"}))
    whole = undisturbed(1, False)
    assert whole.steps == whole.valid.sum()
    # Those that were taken before the fault count, and the one that it came in.
    assert found.steps == found.valid.sum() + FAULTY_SLOT
    assert set(found.seconds) == {"environment", "policy", "transfer"}
    assert all(seconds >= 0 for seconds in found.seconds.values())


def test_measures_stand_where_steps_were_taken(undisturbed):
    whole = undisturbed(1, False)
    assert not whole.valid.all()
    for measured in whole.measures.values():
        np.testing.assert_array_equal(~np.isnan(measured), whole.valid)
    places = whole.measures["seen"][whole.valid]
    np.testing.assert_array_equal(places, whole.lifetimes.outcome.observation[whole.valid][:, 0])
    np.testing.assert_array_equal(whole.measures["far"][whole.valid], np.abs(places) > 0.5)


@pytest.mark.parametrize("cadence", slow_but([1], AGENTS.values()))
def test_environments_that_are_set_live_what_environments_that_are_made_live(cadence, undisturbed):
    assert_same(but(undisturbed(cadence, True)), but(undisturbed(cadence, False)))


def test_where_every_lifetime_is_lost_it_stops_and_shows_why():
    distribution = slides()
    faults = {place: "step" if place else "make" for place in range(8)}
    with pytest.raises(CollectingError, match="all 8 lifetimes were lost") as stopped:
        lived(distribution, batch(distribution, faults=faults))
    assert RAISED_AT["step"] in str(stopped.value)
    # What most of them met is shown.
    assert RAISED_AT["make"] not in str(stopped.value)


def test_what_is_missing_is_said_at_once():
    distribution = slides()
    with pytest.raises(MissingExtraError, match=r"pip install 'quickstudy\[tracks\]'"):
        lived(distribution, batch(distribution, faults={4: "missing suite"}))


@pytest.mark.parametrize(
    ("setting", "value"), [("collectors", "threads"), ("workers", -1), ("parallel_environments", 0), ("patience_seconds", 0.0)]
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(UsageError, match=setting):
        CollectingConfig(**{setting: value})


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (["left", "right"], "the number of a task of 'train' is 'left'"),
        ([np.zeros(2), np.zeros(3)], r"has the shape \(2,\) in one, \(3,\) in another"),
        ([{"a": 1}, {"b": 1}], "built differently"),
        ([2**40, 1], "beyond 32 bits"),
    ],
)
def test_tasks_that_are_no_stack_of_numbers_are_refused(drawn, said):
    left = iter(drawn)
    distribution = dataclasses.replace(slides(), sample=lambda split, generator: next(left))
    with pytest.raises(TaskDistributionError, match=said):
        distribution.sample_tasks("train", jax.random.key(0), tasks=2)


def test_the_environments_are_what_these_tests_take_them_for(undisturbed):
    """Some episodes end early, and the faulty slot is reached by all that have a fault here."""
    steps = undisturbed(1, False).valid.sum(0)
    assert len(FAULTS) == len(set(FAULTS))
    assert (steps >= FAULTY_SLOT).all()
    assert steps.sum() < 8 * HORIZON * EPISODES
