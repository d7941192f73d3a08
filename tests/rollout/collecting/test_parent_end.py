"""Where the program is killed, what it started ends with it; with small programs, and with a pool of real workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
ENDING_SECONDS = 5.0
"""What the documentation promises. Reading /proc and waking up take no time that counts beside it."""


def is_there(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, *, seconds):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def numbers_in(file, *, count, process, seconds=120):
    """Numbers of processes that were written to a file, one a line."""
    ready = lambda: file.is_file() and file.read_text().count("\n") >= count  # noqa: E731
    assert wait_until(lambda: ready() or process.poll() is not None, seconds=seconds)
    assert ready(), f"it ended with status {process.returncode}"
    return [int(line) for line in file.read_text().split()]


def descendants(process):
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)


def end(processes):
    for process in processes:
        if is_there(process):
            os.kill(process, signal.SIGKILL)


WATCHING = """
import ctypes, os, subprocess, sys, time
from quickstudy.rollout.collecting.parent_watch import end_with_parent

file, case, lifeline, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if case == "without help of the system":
    ctypes.CDLL = None
    sys.platform = "other"
end_with_parent(parent, lifeline, private=())
numbers = [os.getpid()]
if case == "with a program of its own":
    numbers.append(subprocess.Popen(["sleep", "600"]).pid)
with open(file, "a") as out:
    out.write("".join(f"{number}\\n" for number in numbers))
if case == "in C, with the interpreter's lock":
    ctypes.PyDLL(None).sleep(600)
time.sleep(600)
"""
STARTING = """
import os, socket, subprocess, sys, time
from quickstudy.rollout.collecting.process_groups import guard_group

ours, theirs = socket.socketpair()
command = [sys.executable, "-c", sys.argv[3], sys.argv[1], sys.argv[2], str(theirs.fileno()), str(os.getpid())]
child = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
theirs.close()
if sys.argv[2] == "with a program of its own":
    guard_group(child.pid)
time.sleep(600)
"""
CASES = {
    "sleeping": 1,
    "without help of the system": 1,
    "in C, with the interpreter's lock": 1,
    "stopped": 1,
    "with a program of its own": 2,
}


@pytest.mark.parametrize("case", CASES)
def test_a_process_ends_with_its_parent(case, tmp_path):
    file = tmp_path / "numbers"
    parent = subprocess.Popen([sys.executable, "-c", STARTING, str(file), case, WATCHING])
    try:
        processes = numbers_in(file, count=CASES[case], process=parent)
        time.sleep(0.2)
        if case == "stopped":
            os.kill(processes[0], signal.SIGSTOP)
        assert all(is_there(process) for process in processes)
    finally:
        parent.kill()
        parent.wait()
    try:
        assert wait_until(lambda: not any(map(is_there, processes)), seconds=ENDING_SECONDS)
    finally:
        end(processes)


POOL = """
import ctypes, os, pathlib, subprocess, sys, time

import gymnasium
import jax
import quickstudy as qs
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool

file, then, collectors = sys.argv[1:]


class Pest(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, task):
        pass

    def reset(self, *, seed=None, options=None):
        child = os.fork()
        if not child:
            time.sleep(600)
        started = subprocess.Popen(["sleep", "600"])
        with open(file, "a") as out:
            out.write(f"{os.getpid()}\\n{child}\\n{started.pid}\\n")
        if then == "exit":
            os._exit(3)
        time.sleep(600)


pests = qs.from_gymnasium(Pest, lambda split, generator: {"x": generator.uniform()}, episodes=1, horizon=2)
agent = random_agent(pests.spec)
tasks = pests.sample_tasks("train", jax.random.key(0), tasks=1)
with open_pool(pests, CollectingConfig(workers=1, collectors=collectors)) as pool:
    try:
        pool.run(agent, agent.init(jax.random.key(0)), tasks, jax.random.split(jax.random.key(1), 1))
    except qs.QuickstudyError as error:
        print(error)
"""


# One cluster at a time on a machine.
ON_RAY = [pytest.mark.suites, pytest.mark.xdist_group("rollout/collecting/test_ray_pool.py")]


@pytest.mark.slow
@pytest.mark.parametrize("collectors", ["processes", pytest.param("ray", marks=ON_RAY)])
@pytest.mark.parametrize("stopped", [False, True])
def test_workers_that_hang_end_with_the_program_and_so_does_what_they_started(collectors, stopped, tmp_path):
    file = tmp_path / "numbers"
    program = subprocess.Popen([sys.executable, "-c", POOL, str(file), "hang", collectors])
    processes = []
    try:
        processes = numbers_in(file, count=3, process=program)
        processes += [child for child in descendants(program.pid) if child not in processes]
        assert len(processes) > 3  # with the guard
        assert all(is_there(process) for process in processes)
        if stopped:
            os.kill(processes[0], signal.SIGSTOP)
        program.kill()
        program.wait()
        assert wait_until(lambda: not any(map(is_there, processes)), seconds=ENDING_SECONDS)
    finally:
        program.kill()
        program.wait()
        end(processes)


@pytest.mark.slow
def test_a_worker_that_ends_is_noticed_at_once_and_takes_its_children_with_it(tmp_path):
    """Although the children hold its socket open, and the time limit is two minutes."""
    file = tmp_path / "numbers"
    done = subprocess.run(
        [sys.executable, "-c", POOL, str(file), "exit", "processes"], capture_output=True, text=True, timeout=110, check=False
    )
    processes = [int(number) for number in file.read_text().split()]
    try:
        assert done.returncode == 0, done.stderr
        assert "all 1 lifetimes were lost" in done.stdout
        assert done.stderr.count("ended with status 3") == 2
        assert len(processes) == 6
        assert not any(map(is_there, processes))
    finally:
        end(processes)
