"""How far an exported form is from the agent in JAX, and how long one of its steps takes."""

import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.export.c_replay import packed_vectors
from quickstudy.export.vectors import FEEDBACK, Vectors
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.step_programs import StepPrograms

COMPILER_FLAGS = ("-std=c99", "-O3", "-Wall", "-Wextra", "-Werror")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Microseconds of one step: median and 99th percentile, beside those of an empty call in the same run."""

    median: float
    p99: float
    empty_median: float
    empty_p99: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """The largest deviation from recorded steps, of each number of a decision, and what else was measured.

    `deviation`: in proportion. A deviation is divided by the size of the number, since numbers of 32 bits are rounded in
    proportion to it. Close to zero a number has no useful size: means and deviations of actions are divided by at least half
    the range of the action, all other numbers by at least one.
    `absolute`: as it is, in the unit of the number.
    `check_value`: of all bits that the C form decided; None for the other forms, whose bits depend on libraries.
    `of_jax`: the largest deviation of the policy of the agent in JAX from itself, compiled step by step; None where it was not
    measured, because the exported form is close enough.
    `of_trained`: the largest deviation of the policy of the agent as it was trained from the one with its matrices in fewer
    bits, on the same steps; None where they are in full.
    """

    steps: int
    deviation: dict[str, float]
    absolute: dict[str, float]
    check_value: str | None = None
    latency: Latency | None = None
    of_jax: float | None = None
    of_trained: float | None = None

    @property
    def of_policy(self) -> float:
        """The largest deviation of a number of the policy, in proportion."""
        return max(apart for name, apart in self.deviation.items() if name.startswith("policy"))


def python_parity(folder: Path, vectors: Vectors, *, timed: bool = False) -> Parity:
    """A form in a folder that Python runs, against recorded steps.

    Args:
      folder: that holds `agent.py`, of the NumPy, ONNX or LiteRT form.
      vectors: recorded steps.
      timed: whether steps are timed too.
    """
    module = _module(folder / "agent.py")
    agent = module.open_agent(folder)
    found = module.replay(agent, vectors.arrays())
    deviation, absolute = ({name: apart[place] for name, apart in found.items()} for place in range(2))
    latency = _time_python(module, agent, vectors) if timed else None
    return Parity(steps=len(vectors), deviation=deviation, absolute=absolute, latency=latency)


def c_parity(folder: Path, vectors: Vectors, programs: StepPrograms, *, timed: bool = False, compiler: str = "gcc") -> Parity:
    """The C form in a folder, built for this machine and run against recorded steps.

    Args:
      folder: that holds `agent.c` and `replay.c`.
      vectors: recorded steps.
      programs: of the agent.
      timed: whether steps are timed too.
      compiler: its name.
    Raises:
      UsageError: no such compiler.
    """
    # Beside the sources, since programs may not be run from every folder of temporary files.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as built:
        recorded = Path(built) / "check.bin"
        recorded.write_bytes(packed_vectors(vectors, programs))
        program = build_replay(folder, Path(built) / "replay", compiler=compiler, flags=("-march=native",))
        said = run_replay([str(program.resolve()), str(recorded), *(["20"] if timed else [])])
    return dataclasses.replace(parity_of_replay(said), steps=len(vectors))


def build_replay(folder: Path, target: Path, *, compiler: str = "gcc", flags: tuple[str, ...] = ()) -> Path:
    """Builds `replay.c` of an exported folder.

    Args:
      folder: that holds the sources.
      target: the program that is made.
      compiler: its name.
      flags: besides those that every build has.
    Raises:
      UsageError: no such compiler, or the sources do not compile; the first line of what it says.
    """
    if shutil.which(compiler) is None:
        raise UsageError(
            f"the C form is checked with the compiler {compiler}, which is not installed. Install it, or use --check 0."
        )
    sources = [str(folder / name) for name in ("agent.c", "replay.c")]
    command = [compiler, *COMPILER_FLAGS, *flags, "-o", str(target), *sources, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise UsageError(f"{compiler} does not compile {folder}/agent.c: {first}")
    return target


def run_replay(command: list[str]) -> str:
    """What a built `replay` prints.

    Raises:
      UsageError: it failed in another way than by a deviation.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if "check value" not in done.stdout:
        raise UsageError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[:200] or f'status {done.returncode}'}.")
    return done.stdout


def parity_of_replay(said: str) -> Parity:
    """What `replay` printed, as a record."""
    found = re.findall(r"^(\S+): largest deviation (\S+), absolute (\S+)$", said, re.M)
    deviation, absolute = ({name: float(apart[place]) for name, *apart in found} for place in range(2))
    times = {
        name: (float(m), float(p))
        for name, m, p in re.findall(r"^(step|empty call): median (\S+) us, p99 (\S+) us$", said, re.M)
    }
    latency = None
    if times:
        (median, p99), (empty_median, empty_p99) = times["step"], times["empty call"]
        latency = Latency(median=median, p99=p99, empty_median=empty_median, empty_p99=empty_p99)
    check = re.search(r"^check value: (\w+)$", said, re.M)
    value = check[1] if check else None
    return Parity(steps=0, deviation=deviation, absolute=absolute, check_value=value, latency=latency)


def _module(path: Path) -> Any:
    """An exported file as a module."""
    module = types.ModuleType(f"quickstudy_exported_{path.parent.name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def _time_python(module: Any, agent: Any, vectors: Vectors, *, repeats: int = 5) -> Latency:
    """Times every step of the recorded ones, and a call that does nothing after each."""
    taken, empty = [], []

    def nothing(state: Any, feedback: Any, observation: Any) -> tuple:
        return state, observation

    for turn in range(repeats):
        state = agent.begin()
        for row, begins in enumerate(vectors.begins):
            feedback = None if begins else module.Feedback(*(vectors.feedback[name][row] for name in FEEDBACK))
            state = agent.begin() if begins else state
            observation = vectors.observation[row]
            began = time.perf_counter()
            state, _ = agent.step(state, feedback, observation)
            between = time.perf_counter()
            nothing(state, feedback, observation)
            ended = time.perf_counter()
            if turn:  # the first turn warms up
                taken.append(between - began)
                empty.append(ended - between)
    median, p99 = (1e6 * float(np.percentile(taken, part)) for part in (50, 99))
    empty_median, empty_p99 = (1e6 * float(np.percentile(empty, part)) for part in (50, 99))
    return Latency(median=median, p99=p99, empty_median=empty_median, empty_p99=empty_p99)
