"""Kills training runs again and again with SIGKILL, resumes them, and compares the agents with those of uninterrupted runs.

    python benchmarks/kill_and_resume.py

Six small agents are trained twice, each with a budget in steps: once without interruption, and once with kills at random
moments, while a checkpoint is written, and while the bundle is written. Then the report is drawn, with kills while it is
written. The parameters of both bundles must be identical to the last bit, the metrics must hold each update once, every file
must be whole, and nothing may be left over. The numbers of kills go to `benchmarks/kill_and_resume.json`. Exit status 1 says
that something differed.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro
from PIL import Image

from quickstudy.storage.atomic import is_temporary, write_atomically
from quickstudy.storage.run_folder import read_metrics
from quickstudy.storage.whole_folders import held

HERE = Path(__file__).parent
POLES = f"{HERE.parent / 'tests' / 'rollout' / 'collecting' / 'poles.py'}:poles"
BANDIT = ["bernoulli-bandit", "--arms", "3", "--pulls", "20"]
AGENTS = {
    "rl2": ["rl2", *BANDIT, "--hidden-size", "16", "--lifetimes", "64"],
    "rl2, associative memory": ["rl2", *BANDIT, "--hidden-size", "16", "--lifetimes", "64", "--cell", "associative"],
    "varibad": ["varibad", *BANDIT, "--hidden-size", "16", "--lifetimes", "64"],
    "maml": ["maml", *BANDIT, "--lifetimes", "64", "--rollouts", "10"],
    "pearl": ["pearl", *BANDIT, "--lifetimes", "8", "--room", "64", "--gradient-steps", "4", "--replayed", "4", "--steps", "8"],
    "rl2, worker process": ["rl2", POLES, "--hidden-size", "16", "--lifetimes", "16", "--workers", "1"],
}
UPDATES = 300
STEPS_PER_UPDATE = {"pearl": 8 * 20, "rl2, worker process": 16 * 20}
POLL_SECONDS = 0.0002
LONGEST_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How often runs are killed."""

    at_random: int = 6
    """Kills of each agent at random moments."""
    at_checkpoints: int = 3
    """Kills of each agent while a checkpoint is written."""
    at_bundles: int = 2
    """Kills of each agent while the bundle is written."""
    at_reports: int = 2
    """Kills of each agent while the report is written."""
    seed: int = 0
    """Of the moments."""
    only: tuple[str, ...] = ()
    """Names of agents; all if none is given."""
    folder: str | None = None
    """Where the runs go; a temporary folder, which is removed, if not given."""


class Victim:
    """One agent, and the commands that train it and draw its report."""

    def __init__(self, name, work):
        self.name, self.work = name, work
        self.folder = work / "killed"
        steps = UPDATES * STEPS_PER_UPDATE.get(name, 64 * 20)
        more = [
            "--budget",
            f"{steps} steps",
            "--checkpoint-seconds",
            "0.2",
            "--evaluation-seconds",
            "5",
            "--held-out-tasks",
            "16",
        ]
        self._train = ["train", *AGENTS[name], *more]

    def train(self, folder):
        """Starts or resumes training in a folder."""
        resume = ["--resume"] if folder.exists() else []
        return self._start([*self._train, "--folder", str(folder), *resume])

    def evaluate(self):
        """Starts a small evaluation of the killed run."""
        on = ["--on", POLES] if POLES in self._train else []
        return self._start(["evaluate", str(self.folder), "--tasks", "16", "--splits", "test", "--no-baselines", *on])

    def report(self):
        """Starts to draw the page of the killed run."""
        return self._start(["report", str(self.folder)])

    def _start(self, words):
        # One cache of compiled programs, so that a program is not compiled after every kill.
        cache = {"JAX_COMPILATION_CACHE_DIR": str(self.work / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        with open(self.work / "log", "ab") as log:
            command = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())", *words]
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | cache, start_new_session=True
            )


def completed(process):
    """Waits for a command that must succeed."""
    if process.wait(timeout=LONGEST_SECONDS):
        raise SystemExit(f"{' '.join(process.args[3:])}: exit status {process.returncode}")


def killed(process, is_time, *, delay):
    """Kills a process and its workers once it is time; False where the process had ended before."""
    until = time.monotonic() + LONGEST_SECONDS
    while process.poll() is None and not is_time() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    time.sleep(delay)
    alive = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def being_written(folder, start):
    """Whether something whose name starts so is being written in a folder."""
    with contextlib.suppress(OSError):
        return any(path.name.startswith(f".{start}") and is_temporary(path) for path in folder.iterdir())
    return False


def after(seconds):
    """A function that is true once so many seconds have passed from now."""
    began = time.monotonic()
    return lambda: time.monotonic() - began > seconds


def kill_in_training(victim, settings, chooser, *, startup, training):
    """The number of kills at random moments and at checkpoints; the run is left unfinished, so that its bundle is to come."""
    kinds = ["at random"] * settings.at_random + ["at checkpoints"] * settings.at_checkpoints
    chooser.shuffle(kinds)
    kills = dict.fromkeys(("at random", "at checkpoints"), 0)
    share = training / (2 * len(kinds) or 1)  # of the training, so that it does not end before the last kill
    for kind in kinds:
        process = victim.train(victim.folder)
        if kind == "at random":
            moment = chooser.uniform(0, startup) if chooser.random() < 0.4 else startup + chooser.uniform(0, 2 * share)
            kills[kind] += killed(process, after(moment), delay=0.0)
        else:
            writes = lambda: being_written(victim.folder / "checkpoints", "")  # noqa: E731
            kills[kind] += killed(process, writes, delay=chooser.uniform(0, 0.003))
    return kills


def kill_at_bundles(victim, settings, chooser):
    """The number of kills while the bundle was being written. One that came too late is repeated."""
    kills = 0
    for _ in range(4 * settings.at_bundles):
        if kills == settings.at_bundles:
            break
        shutil.rmtree(victim.folder / "bundle", ignore_errors=True)
        process = victim.train(victim.folder)
        kills += killed(process, lambda: being_written(victim.folder, "bundle"), delay=chooser.uniform(0, 0.003))
    return kills


def kill_at_reports(victim, settings, chooser):
    """The number of kills while the report was being written; every file of it must be whole after each."""
    kills = 0
    for _ in range(settings.at_reports):
        writes = lambda: being_written(victim.folder / "pictures", "") or being_written(victim.folder, "report")  # noqa: E731
        kills += killed(victim.report(), writes, delay=chooser.uniform(0, 0.1))
        check_report(victim.folder)
    return kills


def check_report(folder):
    """Every file of the report that is there is whole."""
    ends = {".html": "</html>", ".svg": "</svg>"}
    for path in [folder / "report.html", *(folder / "pictures").glob("[!.]*")]:
        if not path.exists():
            continue
        if path.suffix == ".png":
            Image.open(io.BytesIO(path.read_bytes())).load()
        elif not path.read_text(encoding="utf-8").rstrip().endswith(ends[path.suffix]):
            raise SystemExit(f"{path} is cut off")


def digest(folder):
    """The SHA-256 of the parameters of a run's bundle."""
    return hashlib.sha256((folder / "bundle" / "parameters.safetensors").read_bytes()).hexdigest()


def measured(name, settings, work):
    """The kills of an agent by kind, and whether everything was as without them."""
    work.mkdir(parents=True)
    victim, chooser = Victim(name, work), random.Random(f"{settings.seed} {name}")
    completed(victim.train(work / "first"))  # fills the cache of compiled programs
    began = time.monotonic()
    completed(victim.train(work / "whole"))
    seconds = time.monotonic() - began
    training = read_metrics(work / "whole")[-1]["seconds"]
    found = kill_in_training(victim, settings, chooser, startup=seconds - training, training=training)
    found |= {"at bundles": kill_at_bundles(victim, settings, chooser)}
    completed(victim.train(victim.folder))
    same = digest(work / "whole") == digest(victim.folder)
    completed(victim.evaluate())
    found |= {"at reports": kill_at_reports(victim, settings, chooser)}
    completed(victim.report())
    check_report(victim.folder)
    updates = [line["update"] for line in read_metrics(victim.folder)]
    left = [str(path) for path in victim.folder.rglob("*") if path.name.startswith(".") or path.name == "lock"]
    return {
        "kills": found,
        "identical_parameters": same,
        "each_update_once": updates == list(range(1, UPDATES + 1)),
        "left_over": left,
        "seconds_uninterrupted": round(seconds, 1),
    }


def main(settings):
    """Kills the agents one after another, stores the numbers, and gives the exit status."""
    folder = Path(settings.folder or tempfile.mkdtemp(prefix="kill-and-resume-"))
    results = {}
    try:
        for number, name in enumerate(settings.only or AGENTS):
            results[name] = measured(name, settings, folder / str(number))
            print(name, results[name], flush=True)
    finally:
        if settings.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    store(results)
    kills = sum(sum(one["kills"].values()) for one in results.values())
    good = all(one["identical_parameters"] and one["each_update_once"] and not one["left_over"] for one in results.values())
    print(f"{kills} kills, {'every agent identical to the last bit' if good else 'SOMETHING DIFFERS'}")
    return 0 if good else 1


def store(results):
    """Puts these agents into the file of results, in place of their earlier ones."""
    path = HERE / "kill_and_resume.json"
    with held(HERE):
        agents = (json.loads(path.read_text())["agents"] if path.exists() else {}) | results
        agents = {name: agents[name] for name in AGENTS if name in agents}
        kills = sum(sum(one["kills"].values()) for one in agents.values())
        stored = {"machine": platform.machine(), "python": platform.python_version(), "kills": kills, "agents": agents}
        write_atomically(path, json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings)))
