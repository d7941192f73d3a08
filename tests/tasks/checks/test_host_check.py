"""Each law of environments outside JAX is broken on purpose, in small, and found; what is healthy passes."""

import itertools
import os
import time

import gymnasium
import numpy as np
import pytest

import quickstudy as qs
from laws.broken_environments import BROKEN
from laws.toy_environments import Dial, Shown, dials, set_target, stepped
from marks import slow_but
from quickstudy.cli import main
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.tasks.checks import check as checks
from quickstudy.tasks.checks.host_laws import HOST_LAWS


def check(distribution, **asked):
    """`check`, with lifetimes in this process: a worker process takes seconds to start."""
    return checks.check(distribution, collecting=CollectingConfig(collectors="inline"), **asked)


SLOW = {
    "a_counter_that_all_share",
    "an_episode_moves_the_target",
    "the_task_is_written_into",
    "set_task_adds",
    "a_task_is_kept_too_long",
    "observation_is_not_a_number",
    "the_horizon_terminates",
    "the_target_is_shown_later",
    "a_measure_is_missing",
}
"""Further ways to break a law that another environment breaks, at more than half a second each."""


@pytest.mark.parametrize("name", slow_but(BROKEN.keys() - SLOW, BROKEN))
def test_exactly_the_broken_law_is_named(name):
    law, containing, make = BROKEN[name]
    faults = [fault for fault in check(make(), samples=500, budget_seconds=0.3 if law == "speed" else 2.0) if not fault.warning]
    assert [fault.law for fault in faults] in ([law], [law] * 2)  # in two splits
    assert containing in faults[0].what
    assert "\n" not in faults[0].what
    assert faults[0].remedy
    if containing.endswith("(") or law == "speed":
        assert "broken_environments.py, line " in faults[0].what


def test_every_law_has_a_broken_distribution():
    assert {law for law, *_ in BROKEN.values()} == set(HOST_LAWS)


@pytest.mark.parametrize("setter", slow_but([None], [None, set_target]))
def test_nothing_is_found_where_nothing_is_wrong(setter):
    assert check(dials(set_task=setter), samples=1000, budget_seconds=2.0) == []


def with_gravity(task):
    return gymnasium.make("Pendulum-v1", g=float(task["gravity"]))


def with_length(task):
    environment = gymnasium.make("CartPole-v1")
    set_length(environment, task)
    return environment


def set_length(environment, task):
    cart = environment.unwrapped
    cart.length, cart.polemass_length = float(task["length"]), cart.masspole * float(task["length"])


def forget_the_moment(environment, task):
    environment.unwrapped.length = float(task["length"])


def between(name, low, middle, high):
    """Tasks of one number, below the middle for training and above for tests."""
    return lambda split, generator: {name: generator.uniform(*((low, middle) if split == "train" else (middle, high)))}


PENDULUMS = (with_gravity, between("gravity", 5.0, 9.0, 12.0))
CARTS = (with_length, between("length", 0.2, 1.0, 2.0))


@pytest.mark.parametrize(
    "distribution",
    [
        pytest.param(qs.from_gymnasium(*PENDULUMS, episodes=3), marks=pytest.mark.slow),
        qs.from_gymnasium(*CARTS, episodes=3),
        pytest.param(qs.from_gymnasium(*CARTS, episodes=3, set_task=set_length), marks=pytest.mark.slow),
    ],
    ids=["pendulum", "cart-pole", "cart-pole set to its task"],
)
def test_environments_of_gymnasium_are_healthy(distribution):
    assert [fault for fault in check(distribution, samples=1000, budget_seconds=2.0) if fault.law != "speed"] == []


def test_what_set_task_forgets_is_found_in_gymnasiums_cart():
    faults = check(qs.from_gymnasium(*CARTS, episodes=3, set_task=forget_the_moment), samples=500, budget_seconds=2.0)
    assert [fault.law for fault in faults if fault.law != "speed"] == ["set_task"]


def test_what_is_shown_on_purpose_is_no_fault():
    assert check(dials(Shown, shown=("target",)), samples=500, budget_seconds=2.0) == []


def warned_of(distribution):
    """The only law that is warned of, speed aside, and what is said."""
    (fault,) = (fault for fault in check(distribution, samples=300, budget_seconds=2.0) if fault.law != "speed")
    assert fault.warning
    return fault.law, fault.what


def test_a_first_observation_that_depends_on_the_task_is_a_warning():
    class Veiled(Shown):
        def mark(self):
            return np.sin(9.0 * self.target) ** 2

    law, what = warned_of(dials(Veiled))
    assert (law, "depends on the task" in what) == ("task-blindness", True)


@pytest.mark.slow
def test_a_split_of_one_task_is_a_warning():
    split = lambda split, generator: {"target": -0.5 if split == "train" else generator.uniform(0.0, 1.0)}  # noqa: E731
    law, what = warned_of(dials(sample=split))
    assert (law, "one and the same" in what) == ("sampling", True)


def test_a_reward_that_random_actions_never_meet_is_a_warning():
    never = stepped(lambda dial, observation, *_: (observation, 0.0, False, False, {"success": False}))
    law, what = warned_of(dials(never))
    assert (law, "random actions never meet" in what) == ("same task", True)


def test_what_fails_only_where_lifetimes_run_side_by_side_is_found():
    opened = []

    class OnlyOne(Dial):
        def reset(self, **given):
            if len(opened) > 1:
                raise OSError("the port is taken")
            return super().reset(**given)

        def close(self):
            opened.clear()

    def make(task):
        opened.append(task)
        return OnlyOne(float(task["target"]))

    (fault,) = (fault for fault in check(dials(make=make), samples=300, budget_seconds=2.0) if not fault.warning)
    assert fault.law == "shapes"
    assert fault.what == "lifetimes that are run as in training fail: OSError: the port is taken"


@pytest.mark.slow
def test_what_a_worker_process_cannot_do_is_found():
    here = os.getpid()

    class AtHome(Dial):
        def reset(self, **given):
            if os.getpid() != here:
                raise OSError("not at home")
            return super().reset(**given)

    faults = [fault.what for fault in checks.check(dials(AtHome), samples=300, budget_seconds=2.0) if not fault.warning]
    assert faults == ["lifetimes that are run as in training fail: OSError: not at home"]


def test_wide_bounds_and_ids_declared_as_bytes_are_warnings():
    class Wide(Dial):
        observation_space = gymnasium.spaces.Box(-1e4, 1e4, (1,))

    (advice,) = (fault for fault in check(dials(Wide), samples=300, budget_seconds=2.0) if fault.law != "speed")
    assert (advice.law, advice.warning) == ("spaces", True)
    assert "declared are -1e+04 and 1e+04" in advice.what


@pytest.mark.slow
def test_slow_steps_are_warnings():
    def slow(dial, *rest):
        time.sleep(0.02)
        return rest

    faults = check(dials(stepped(slow)), samples=300, budget_seconds=1.0)
    assert all(fault.warning for fault in faults)
    assert any("steps a second: a million steps take" in fault.what for fault in faults)
    assert any("of 'train' could be played, too few" in fault.what for fault in faults)


@pytest.mark.slow
def test_one_long_step_is_a_warning():
    steps = itertools.count()

    def once(dial, *rest):
        time.sleep(1.0 if next(steps) == 1600 else 0.0)
        return rest

    faults = check(dials(stepped(once)), samples=300, budget_seconds=2.0)
    assert all(fault.warning for fault in faults)
    assert "one step took 1.0 seconds." in {fault.what for fault in faults}


@pytest.mark.slow
def test_environments_that_take_long_to_make_are_a_warning():
    def make(task):
        time.sleep(0.03)
        return Dial(float(task["target"]))

    faults = check(dials(make=make), samples=300, budget_seconds=2.0)
    assert any("to begin a lifetime takes 0.03" in fault.what for fault in faults if fault.warning)


MINE = """
import gymnasium
import quickstudy as qs

def pendulum(task):
    return gymnasium.make("Pendulum-v1", g=float(task["gravity"]))

def sample_task(split, generator):
    return {"gravity": generator.uniform(5.0, 9.0) if split == "train" else generator.uniform(9.0, 12.0)}

def make():
    return qs.from_gymnasium(pendulum, sample_task, episodes=2, horizon=20)

def forgetful():
    return qs.from_gymnasium(pendulum, sample_task, episodes=2, horizon=20, set_task=lambda environment, task: None)

def impossible():
    return qs.from_gymnasium(lambda task: 1 / 0, sample_task, episodes=2)
"""


@pytest.mark.parametrize(
    ("function", "status", "expected"),
    [
        pytest.param(
            "make",
            0,
            ["tasks drawn: 500 of 'train', 500 of 'test'; played: ", " steps a second\n", "no fault found"],
            marks=pytest.mark.slow,
        ),
        (
            "forgetful",
            1,
            ["fault (set_task): an environment that is set", "    remedy: Let set_task set everything"],
        ),
        ("impossible", 2, ["mine.py, function impossible: ZeroDivisionError: division by zero (line 18)"]),
    ],
)
def test_the_command_line_checks_environments_too(function, status, expected, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(MINE)
    try:
        ended = main(
            [
                "check",
                f"{tmp_path / 'mine.py'}:{function}",
                "--samples",
                "500",
                "--budget-seconds",
                "3",
                "--collectors",
                "inline",
            ]
        )
    except SystemExit as stop:
        ended = stop.code
    printed = "".join(capsys.readouterr())
    assert ended == status, printed
    for words in expected:
        assert words in printed
