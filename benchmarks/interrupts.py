"""Sends signals to commands in every phase, and tells whether each was heard.

    python benchmarks/interrupts.py --tries 3
    python benchmarks/interrupts.py --phases compiling training --signal SIGTERM

A signal is heard if the command ends with 128 and the signal's number, within `--most-seconds`, without a traceback. The first
phase begins when Python itself has started. Compiled programs and returns of baselines are not kept between tries, so every
phase is there in every try. Exit status 1 if one was not heard.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
TRAIN = ["train", "rl2", "bernoulli-bandit", "--arms", "3", "--pulls", "20", "--hidden-size", "16", "--lifetimes", "64"]
TRAIN += ["--held-out-tasks", "64", "--checkpoint-seconds", "1"]
LONG, SHORT = ["--budget", "1e8 steps"], ["--budget", "1e5 steps"]
HOST_TASKS = """
import time
import gymnasium
import quickstudy as qs

class Slow(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(1), gymnasium.spaces.Discrete(2)
    def __init__(self, task): self.best = int(task["best"])
    def reset(self, *, seed=None, options=None): return 0, {}
    def step(self, action):
        time.sleep(0.01)
        return 0, float(action == self.best), False, False, {}

def make():
    return qs.from_gymnasium(Slow, lambda split, g: {"best": int(g.integers(2))}, episodes=2, horizon=20, name="slow")
"""
Ready = Callable[[float, str, Path], bool]


def seconds(count: float) -> Ready:
    return lambda passed, output, run: passed > count


def printed(text: str, *, later: float = 0.0) -> Ready:
    """So many seconds after a text was printed."""
    seen: list[float] = []

    def ready(passed: float, output: str, run: Path) -> bool:
        if text in output and not seen:
            seen.append(passed)
        return bool(seen) and passed - seen[0] >= later

    return ready


def updates(count: int) -> Ready:
    def ready(passed: float, output: str, run: Path) -> bool:
        file = run / "metrics.jsonl"
        return file.is_file() and file.read_bytes().count(b"\n") >= count

    return ready


def phases(folder: Path) -> dict[str, tuple[list[str], Callable[[], Ready]]]:
    """Commands, and when the signal is sent, by the name of the phase. RUN stands for the folder of the try."""
    trained, slow = str(folder / "trained"), f"{folder}/slow_tasks.py:make"
    host = ["train", "rl2", slow, "--hidden-size", "8", "--lifetimes", "8", "--held-out-tasks", "8", "--workers", "2", *LONG]
    here = [*TRAIN, *LONG, "--folder", "RUN"]
    return {
        **{
            f"import, {at} s after its start": (here, lambda at=at: printed("listening", later=at))
            for at in (0.05, 0.1, 0.3, 0.6, 1.0, 1.5)
        },
        **{
            f"compilation, {at} s after its start": (here, lambda at=at: printed("1 seed, budget", later=at))
            for at in (0.0, 0.3, 0.8, 1.5, 2.5)
        },
        "training, first update": (here, lambda: updates(1)),
        "training": (here, lambda: updates(20)),
        "baselines": ([*TRAIN, *SHORT, "--folder", "RUN"], lambda: printed("measuring", later=0.1)),
        "baselines, later": ([*TRAIN, *SHORT, "--folder", "RUN"], lambda: printed("measuring", later=1.5)),
        "start of worker processes": ([*host, "--folder", "RUN"], lambda: printed("1 seed, budget", later=0.5)),
        "training with worker processes": ([*host, "--folder", "RUN"], lambda: updates(1)),
        "training in this process": ([*host, "--collectors", "inline", "--folder", "RUN"], lambda: updates(1)),
        "evaluation, import": (["evaluate", trained, "--folder", "RUN"], lambda: printed("listening", later=1.0)),
        "evaluation": (["evaluate", trained, "--tasks", "200000", "--folder", "RUN"], lambda: printed("listening", later=4.0)),
        "report": (["report", trained], lambda: printed("listening", later=0.8)),
        "check": (["check", slow, "--budget-seconds", "60"], lambda: printed("listening", later=4.0)),
    }


def one_try(arguments: list[str], ready: Ready, *, number: int, most_seconds: float) -> tuple[int | None, float, str]:
    """The exit status, None if it did not end; seconds from the signal to the end; what was printed."""
    with tempfile.TemporaryDirectory() as cache:
        run, log = Path(cache) / "run", Path(cache) / "log"
        asked = [str(run) if word == "RUN" else word for word in arguments]
        begin = COMMAND[2].replace("sys.exit", "print('listening', flush=True); sys.exit")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*COMMAND[:2], begin, *asked],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | {"XDG_CACHE_HOME": cache, "PYTHONUNBUFFERED": "1"},
            )
            began = time.monotonic()
            while process.poll() is None and not ready(time.monotonic() - began, log.read_text(errors="replace"), run):
                time.sleep(0.01)
            if process.poll() is not None:
                return process.returncode, 0.0, "ended before the signal: " + log.read_text(errors="replace")
            sent = time.monotonic()
            process.send_signal(number)
            try:
                status = process.wait(most_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                status = None
        return status, time.monotonic() - sent, log.read_text(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--phases", nargs="*", default=[], help="beginnings of names; all if not given")
    parser.add_argument("--signal", default="SIGINT", choices=("SIGINT", "SIGTERM", "SIGHUP"))
    parser.add_argument("--most-seconds", type=float, default=20.0)
    asked = parser.parse_args()
    number = getattr(signal, asked.signal)
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow_tasks.py").write_text(HOST_TASKS)
        chosen = {n: p for n, p in phases(folder).items() if not asked.phases or n.startswith(tuple(asked.phases))}
        if any(str(folder / "trained") in arguments for arguments, _ in chosen.values()):
            prepare = [*TRAIN, "--budget", "1e4 steps", "--folder", str(folder / "trained")]
            subprocess.run([*COMMAND, *prepare], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([*COMMAND, "evaluate", str(folder / "trained")], check=True, stdout=subprocess.DEVNULL)
        print(f"{asked.signal}\n{'phase':<36} heard  status  slowest  last line")
        for phase, (arguments, ready) in chosen.items():
            found = [one_try(arguments, ready(), number=number, most_seconds=asked.most_seconds) for _ in range(asked.tries)]
            heard = [status == 128 + number and "Traceback" not in said for status, _, said in found]
            missed += heard.count(False)
            worst = found[heard.index(False)] if False in heard else found[-1]
            last = (worst[2].strip().splitlines() or [""])[-1][:60]
            statuses = ", ".join(sorted({str(status) for status, _, _ in found}))
            slowest = max(passed for _, passed, _ in found)
            print(f"{phase:<36} {sum(heard)}/{len(heard)}    {statuses:<7} {slowest:5.1f} s  {last}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
