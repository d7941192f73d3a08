"""Kills a training program with SIGKILL, in every collecting mode, and counts what is left of it.

    python benchmarks/leftovers.py
    python benchmarks/leftovers.py --collectors processes --cases hangs forks

Every process that the program started inherits a mark in its environment variables, so none is missed. Entries of /dev/shm and
quickstudy's folders in the temporary folder are compared with those before. Exit status 1 if something was left. Linux only.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
TASKS = """
import ctypes, os, pathlib, subprocess, time
import gymnasium
import quickstudy as qs

CASE, PLACE = os.environ["LEFTOVERS_CASE"], pathlib.Path(os.environ["LEFTOVERS_PLACE"])

class Pest(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(1), gymnasium.spaces.Discrete(2)
    steps = 0
    def __init__(self, task): self.best = int(task["best"])
    def reset(self, *, seed=None, options=None): return 0, {}
    def step(self, action):
        Pest.steps += 1
        time.sleep(0.01)
        if Pest.steps == 20:
            (PLACE / str(os.getpid())).touch()
            if CASE == "hangs": time.sleep(1000)
            if CASE == "hangs in C": ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock
            if CASE == "forks" and os.fork() == 0: time.sleep(1000)
            if CASE == "starts programs": subprocess.Popen(["sleep", "1000"])
        return 0, float(action == self.best), False, False, {}

def make():
    return qs.from_gymnasium(Pest, lambda split, g: {"best": int(g.integers(2))}, episodes=2, horizon=20, name="pests")
"""
CASES = ("works", "hangs", "hangs in C", "is stopped", "forks", "starts programs")
NOT_HERE = {"inline": ("is stopped", "forks", "starts programs")}
"""In the program itself there is no worker to stop, and what environments start are children of the program."""


def marked(mark: str) -> dict[int, str]:
    """Living processes with the mark, by number, and what they run."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or mark.encode() not in (entry / "environ").read_bytes():
                continue
            if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100]
        except OSError:
            continue
    return found


def files() -> set[str]:
    return set(os.listdir("/dev/shm")) | {path.name for path in Path(tempfile.gettempdir()).glob("quickstudy-*")}


def left_behind(collectors: str, case: str, seconds: float) -> tuple[int, dict[int, str], set[str]]:
    """The number of processes before the kill; processes and files that are left so many seconds after it."""
    mark, before = uuid.uuid4().hex, files()
    with tempfile.TemporaryDirectory(prefix="leftovers-") as name:
        folder = Path(name)
        (folder / "pests.py").write_text(TASKS)
        (folder / "place").mkdir()
        run = ["train", "rl2", f"{folder}/pests.py:make", "--hidden-size", "8", "--lifetimes", "8", "--held-out-tasks", "8"]
        run += ["--workers", "2", "--collectors", collectors, "--budget", "1e7 steps", "--folder", f"{folder}/run"]
        variables = {"LEFTOVERS": mark, "LEFTOVERS_CASE": case, "LEFTOVERS_PLACE": f"{folder}/place"}
        with (folder / "log").open("wb") as log:
            program = subprocess.Popen(
                [*COMMAND, *run], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | variables
            )
        until = time.monotonic() + 300
        wanted = 1 if collectors == "inline" else 2
        while len(list((folder / "place").iterdir())) < wanted:
            if program.poll() is not None or time.monotonic() > until:
                program.kill()
                raise SystemExit(f"{collectors}, {case}: it did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.05)
        time.sleep(0.5)
        if case == "is stopped":
            for worker in (folder / "place").iterdir():
                os.kill(int(worker.name), signal.SIGSTOP)
        there = len(marked(mark))
        program.kill()
        program.wait()
        time.sleep(seconds)
        left, new = marked(mark), files() - before
        for process in left:
            os.kill(process, signal.SIGKILL)
    return there, left, new


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--collectors", nargs="*", default=["inline", "processes", "ray"])
    parser.add_argument("--cases", nargs="*", default=CASES, choices=CASES)
    parser.add_argument("--tries", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="after the kill")
    asked = parser.parse_args()
    bad = 0
    print(f"collectors  the environment   processes  left after {asked.seconds:.0f} s  new files", flush=True)
    for collectors in asked.collectors:
        for case in asked.cases:
            for _ in range(asked.tries if case not in NOT_HERE.get(collectors, ()) else 0):
                there, left, new = left_behind(collectors, case, asked.seconds)
                bad += bool(left or new)
                print(f"{collectors:<11} {case:<17} {there:<10} {len(left):<16} {len(new)}", flush=True)
                for what in [*left.values(), *sorted(new)]:
                    print(f"    {what}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
