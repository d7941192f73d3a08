"""Whatever an environment does to the process that it runs in, the lifetimes of the others come out, and are the same."""

import functools
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close, valid_part
from marks import slow_but
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import CollectingError, MissingExtraError, UsageError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.collecting.process_main import _Heartbeat
from rollout.collecting.environments import assert_same, batch, but, slides

# Two environments in every share, also where one of its four lifetimes is lost: programs of equal size give equal bits.
TWO = CollectingConfig(workers=2, parallel_environments=2)
ONE = CollectingConfig(workers=1, parallel_environments=2, patience_seconds=5.0)

pytestmark = pytest.mark.xdist_group("worker processes")


def lived(distribution, asked, config=TWO):
    """The result of a batch, and the pool, closed."""
    with open_pool(distribution, config) as pool:
        return pool.run(*asked), pool


@pytest.fixture(scope="module")
def undisturbed():
    """The result of a batch without a fault, by cadence."""

    @functools.cache
    def result(cadence):
        distribution = slides()
        return lived(distribution, batch(distribution, cadence=cadence))[0]

    return result


@pytest.mark.parametrize("cadence", slow_but([1], [1, 2]))
def test_it_is_lived_there_as_here(cadence, undisturbed):
    distribution = slides()
    here, _ = lived(
        distribution, batch(distribution, cadence=cadence), CollectingConfig(collectors="inline", parallel_environments=3)
    )
    there = undisturbed(cadence)
    np.testing.assert_array_equal(there.valid, here.valid)
    assert_close(valid_part(there.lifetimes, there.valid), valid_part(here.lifetimes, here.valid), tolerance=1e-5)
    assert_close(there.measures, here.measures)
    assert there.steps == here.steps


@pytest.mark.slow
def test_a_process_that_dies_each_time_costs_the_lifetime_that_it_dies_in(undisturbed, capfd):
    distribution = slides()
    found, pool = lived(distribution, batch(distribution, faults={5: "exit"}))
    np.testing.assert_array_equal(np.flatnonzero(found.lost), [5])
    assert_same(but(found, 5), but(undisturbed(1), 5))
    assert not found.valid[:, 5].any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.lifetimes))
    assert (pool.replaced, pool.lost, pool.faults) == (2, 1, {})
    assert capfd.readouterr().err.count("ended with status 3") == 2


@pytest.mark.slow
def test_a_process_that_dies_once_costs_nothing(undisturbed, tmp_path):
    distribution = slides(tmp_path)
    found, pool = lived(distribution, batch(distribution, faults={2: "exit once"}, cadence=2))
    assert (tmp_path / "exited").exists()
    assert_same(but(found), but(undisturbed(2)))
    assert (pool.replaced, pool.lost) == (1, 0)


@pytest.mark.slow
def test_a_process_that_is_killed_from_outside_costs_nothing(undisturbed, tmp_path, capfd):
    def kill():
        until = time.monotonic() + 300
        while not list(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)

    distribution, killer = slides(tmp_path), threading.Thread(target=kill)
    killer.start()
    found, pool = lived(distribution, batch(distribution, faults={6: "pause"}))
    killer.join()
    assert_same(but(found), but(undisturbed(1)))
    assert (pool.replaced, pool.lost) == (1, 0)
    assert "was ended by signal 9" in capfd.readouterr().err


@pytest.mark.slow
def test_a_process_that_hangs_is_replaced(capfd):
    distribution = slides()
    found, pool = lived(distribution, batch(distribution, lifetimes=3, faults={1: "hang"}), ONE)
    np.testing.assert_array_equal(found.lost, [False, True, False])
    assert (found.valid.sum(0)[[0, 2]] > 5).all()
    assert (pool.replaced, pool.lost) == (2, 1)
    assert capfd.readouterr().err.count("sent nothing for 5 s") == 2


@pytest.mark.slow
def test_where_every_process_dies_it_stops():
    distribution = slides()
    with pytest.raises(CollectingError, match=r"all 1 lifetimes were lost.*\nevery worker died"):
        lived(distribution, batch(distribution, lifetimes=1, faults={0: "exit"}), ONE)


@pytest.mark.slow
def test_what_an_environment_raises_there_is_shown_here_with_the_line_that_raised_it(undisturbed, capsys):
    distribution = slides()
    found, pool = lived(distribution, batch(distribution, faults={0: "step", 7: "step"}))
    np.testing.assert_array_equal(np.flatnonzero(found.lost), [0, 7])
    assert_same(but(found, 0, 7), but(undisturbed(1), 0, 7))
    said = capsys.readouterr().err
    assert said.count('raise RuntimeError("the motor is stuck")') == 1
    assert list(pool.faults.values()) == [2]


@pytest.mark.slow
def test_one_pool_runs_batches_of_any_size_and_reports_a_missing_suite():
    distribution = slides()
    with open_pool(distribution, TWO) as pool:
        few = pool.run(*batch(distribution, lifetimes=1))
        with pytest.raises(MissingExtraError, match=r"pip install 'quickstudy\[tracks\]'"):
            pool.run(*batch(distribution, lifetimes=3, faults={1: "missing suite"}))
        again = pool.run(*batch(distribution, lifetimes=1))
        alone = pool.run(*batch(distribution, lifetimes=1), rewards_only=True)
    assert_same(but(few), but(again))
    assert alone.lifetimes is None
    np.testing.assert_array_equal(alone.reward, few.reward)
    assert pool.replaced == 0


@pytest.mark.parametrize(
    ("python", "kind", "said"),
    [
        ("/nowhere/python", UsageError, "'/nowhere/python' cannot be started: No such file"),
        ("/bin/false", CollectingError, r"did not start \(process [0-9]+ ended with status 1\)"),
    ],
)
def test_an_interpreter_that_cannot_be_used_is_refused_and_nothing_is_left_open(python, kind, said):
    with pytest.raises(kind, match=said):
        open_pool(slides(), CollectingConfig(workers=2, worker_python=python))
    gc.collect()  # what was left open warns here


OWN = """
    import dataclasses

    import gymnasium
    import numpy as np

    import quickstudy as qs


    @dataclasses.dataclass
    class Wind:
        strength: float
        gusts: np.ndarray


    @dataclasses.dataclass
    class Weather:
        wind: Wind


    class Kite(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self, task: Weather):
            self.wind = task.wind

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1), {}

        def step(self, action):
            pull = self.wind.strength + self.wind.gusts[action]
            return np.clip([pull], -1, 1), float(pull), False, False, {}


    def kites(*, episodes: int = 2):
        def sample(split, generator):
            return Weather(Wind(generator.uniform(), generator.uniform(size=2)))

        return qs.from_gymnasium(Kite, sample, episodes=episodes, horizon=3)
"""


@pytest.mark.slow
def test_tasks_of_ones_own_from_a_file_are_lived_in_processes(tmp_path):
    (tmp_path / "my_kites.py").write_text(textwrap.dedent(OWN))
    distribution = qs.tasks.make(f"{tmp_path}/my_kites.py:kites", episodes=1)
    agent, params, tasks, keys = batch_of_kites(distribution)
    assert tasks.wind.gusts.shape == (4, 2)
    there, _ = lived(distribution, (agent, params, tasks, keys))
    assert not there.lost.any()
    taken = there.lifetimes.decision.action
    np.testing.assert_allclose(there.reward, tasks.wind.strength + tasks.wind.gusts[np.arange(4), taken], rtol=1e-6)


def batch_of_kites(distribution):
    agent = random_agent(distribution.spec)
    tasks = distribution.sample_tasks("test", jax.random.key(1), tasks=4)
    return agent, agent.init(jax.random.key(2)), tasks, jax.random.split(jax.random.key(3), 4)


SCRIPT = """
    from quickstudy.baselines.random import random_agent
    from quickstudy.rollout.collecting.config import CollectingConfig

    kites_here = kites()
    contenders = {"random": qs.contender(random_agent(kites_here.spec))}
    found = qs.evaluate(contenders, kites_here, split="test", tasks=4, collecting=CollectingConfig(workers=1))
    print(found.results["random"].lifetime_return.value)
"""


@pytest.mark.slow
def test_a_script_that_defines_its_tasks_itself_needs_nothing_else(tmp_path):
    """No guard of `__main__`, and nothing that another process could import."""
    (tmp_path / "script.py").write_text(textwrap.dedent(OWN) + textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 12
    assert not done.stderr


class Heard:
    """A connection that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def send_bytes(self, message):
        self.sent.append(pickle.loads(message))


def test_of_the_first_steps_of_every_share_one_hears_at_once():
    heard = Heard()
    heartbeat = _Heartbeat(heard)
    for steps in (0, 3, 6, 0, 3):
        heartbeat(steps)
    assert [said for said in heard.sent if said[1]] == [("steps", 3), ("steps", 3)]
