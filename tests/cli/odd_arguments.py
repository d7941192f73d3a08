"""Argument lines that no person would type, for every verb: flags from the dataclasses that they fill, values from a list.

`OddLines` runs such lines in this process, through `quickstudy.cli.main`. Everything is checked as for people. The expensive
work behind the checks is cut off at the functions that `SEAMS` names, which raise `Reached`. A line ends in one of three ways:

- it reaches the work, or does it (`list`, `report` and `--help` do);
- one line on standard error that begins with `quickstudy:`, and status 1 or 2;
- anything else, which is a fault.

    python tests/cli/odd_arguments.py --lines 500 --seed 1        every verb, 500 lines each; prints the faults
"""

import argparse
import collections
import contextlib
import dataclasses
import enum
import io
import os
import pathlib
import random
import sys
import tempfile
import time
import traceback
import types
from typing import Annotated, Literal, Union, get_args, get_origin
from unittest import mock

import jax
import numpy as np

import quickstudy as qs
from quickstudy import algorithms, tasks
from quickstudy.cli import (
    VERBS,
    audit,
    bench,
    card,
    check,
    demo,
    evaluate,
    explain,
    export,
    fit,
    main,
    plot,
    readout,
    registry,
    report,
    serve,
    speed,
    sweep,
    token,
    track,
    train,
    video,
)
from quickstudy.cli.arguments import settings_class
from quickstudy.dashboard.server import DashboardSettings
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig
from quickstudy.evaluation.sweep.records import SweepConfig
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.protocol.registry import config_class, resolve
from quickstudy.protocol.settings import annotations_of
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.serving.http.server import ServerSettings
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.stores import open_store
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.processes import ProcessesConfig

MOST_SECONDS = 60.0
"""A line that takes longer is a fault."""
SEAMS = (
    "quickstudy.training.loop._train",
    "jax.distributed.initialize",
    "quickstudy.training.host_source.open_pool",
    "quickstudy.rollout.runner.open_pool",
    "quickstudy.rollout.runner._run_in_blocks",
    "quickstudy.evaluation.belief_probe.fit.record_lifetimes",
    "quickstudy.evaluation.video.Collector",
    "quickstudy.evaluation.bench.measuring.evaluate",
    "quickstudy.cli.bench.measure_entry",
    "quickstudy.cli.bench.verify",
    "quickstudy.cli.bench._draw",
    "quickstudy.reports.run_report.write_report",
    "quickstudy.export.export.step_programs",
    "quickstudy.cli.explain.lifetime_to_explain",
    "quickstudy.fitting.ab_tests.fit_beta",
    "quickstudy.tasks.checks.check.inspect",
    "quickstudy.tasks.checks.check.inspect_host",
    "uvicorn.Server.run",
)
"""Functions at which the expensive work of a verb begins, after everything that was asked for has been checked."""

NUMBERS = (
    "nan", "NaN", "inf", "-inf", "1e400", "-1e400", "1e39", "1e-400", "-0.0", "-1", "0", "1", "2", "3", "0.5", "1.5", "1e12",
    "1_000", str(2**31 - 1), str(2**31), str(2**32 - 1), str(2**32), str(2**53), str(2**63 - 1), str(2**63), str(2**64),
    str(-(2**63)), str(10**30), "9" * 5000, "0x10", "１２", "1,5", "1/2", "True", "None",
)  # fmt: skip
TEXTS = (
    "", " ", "\t", "\n", "a\x00b", "\udcff", "caf\udce9", "[/x]", "[bold]", "]", "x" * 10_000, "\U0001f600", "ε", "\x1b[2J",
    "--", "-", "-x", "=", "a=b", "'", '"', "$(ls)", "..", ".", "/dev/null", "/dev/zero", "/proc/self/mem", "~", "~nobody/x",
    "a/b/c", "\u202etxt", "null", "[]", "{}", "%s", "{0}", "\\", "C:\\x",
)  # fmt: skip
BUDGETS = (
    "1e400 steps", "1e18 steps", "1e30 steps", "-3m", "0s", "0.1 steps", "1e400s", "1e9h", "1..2s", "5 parsecs", "1 step", "s",
    "7steps",
)  # fmt: skip
STORES = (
    "sqlite:sessions.db", "sqlite://new.db", "sqlite:", "sqlite::memory:", "sqlite:.", "sqlite:..", "sqlite:folder",
    "sqlite:folder/", "sqlite:pipe", "sqlite:link", "sqlite:empty", "sqlite:mine.py", "sqlite:missing/a.db", "sqlite:a\nb",
    "sqlite:/dev/null", "sqlite:/proc/self/mem", "sqlite:file:x", "sqlite:~/x", "sqlite:\x1b[2J", "sqlite:" + "x" * 10_000,
    "postgresql://127.0.0.1:1/x", "postgres://[", "postgresql://127.0.0.1:1/x?connect_timeout=\n", "mysql://x", "sessions.db",
)  # fmt: skip
HOSTS = ("127.0.0.1", "0.0.0.0", "::1", "::", "1.2.3.4", "fe80::1", "", "127.1", "x" * 10_000, "é" * 70)
"""Addresses, and names that are refused before a server of names is asked for them."""
OWN_FILES = {
    "leaves.py": "import sys\nsys.exit(0)\n",
    "raises.py": "x = 1\nraise ValueError('two\\nlines')\n",
    "syntax.py": "def make(:\n    pass\n",
    "other.py": "def make():\n    return 5\ndef stops():\n    raise SystemExit\ndef needs(*, size):\n    pass\nN = 3\n",
    "latin.py": b"# caf\xe9\ndef make():\n    pass\n",
    "zero.py": b"x = 1\x00\n",
    "mine.py": (
        "import enum\nfrom pathlib import Path\nfrom quickstudy import tasks\n"
        "class Mode(enum.Enum):\n    EASY = 1\n    HARD = 2\n"
        "def make(*, pulls: int = 3, table: Path = Path('t.csv'), mode: Mode = Mode.EASY, sizes: tuple[int, ...] = (1, 2),\n"
        "         note: str | None = None, pair: tuple[int, float] = (1, 2.0)):\n"
        "    return tasks.make('bernoulli-bandit', arms=2, pulls=pulls)\n"
        "def array(*, values=__import__('numpy').ones(3)):\n    return make()\n"
    ),
    "host.py": (
        "import gymnasium, numpy as np\nimport quickstudy as qs\n"
        "class Shop(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Discrete(1)\n    action_space = gymnasium.spaces.Discrete(2)\n"
        "    metadata = {'render_modes': ['rgb_array']}\n    render_mode = 'rgb_array'\n"
        "    def __init__(self, task): self.best = int(task['best'])\n"
        "    def reset(self, *, seed=None, options=None):\n        super().reset(seed=seed)\n        return 0, {}\n"
        "    def step(self, action): return 0, float(action == self.best), False, False, {}\n"
        "    def render(self): return np.zeros((8, 8, 3), np.uint8)\n"
        "def draw(split, g): return {'best': int(g.integers(2)), 'mark': float(split == 'test')}\n"
        "def make(*, episodes: int = 3, horizon: int = 4):\n"
        "    return qs.from_gymnasium(Shop, draw, episodes=episodes, horizon=horizon)\n"
    ),
    "records.csv": "test,arm,users,conversions\n"
    + "".join(f"{number},{arm},{1000 + number},{40 + number}\n" for number in range(30) for arm in ("control", "new")),
    "few.csv": "test,arm,users,conversions\n1,control,10,3\n1,new,12,5\n",
    "latin.toml": b"[training]\nbudget = 'caf\xe9'\n",
    "deep.toml": "[algorithm]\nhidden_size = " + "[" * 5000,
    "nan.toml": "[algorithm]\nlearning_rate = nan\n",
    "large.toml": "[training]\nseed = 99999999999999999999\n",
    "date.toml": "[training]\nbudget = 2020-01-01\n",
    "zero.toml": '[training]\nbudget = "\\u0000"\n',
    "good.toml": "[training]\nseeds = 2\nbudget = '100 steps'\n",
    "empty": "",
}
FILES = ("folder", *OWN_FILES, "missing.toml", "link", "pipe", "bundle", "host-bundle", "bundle/bundle.json", "my run/deep")


class Reached(BaseException):
    """The expensive work of a line begins: everything was checked. No `except Exception` of the program catches it."""


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a line ended: what it did, in one word, and what it said where that is a fault."""

    kind: Literal["reached", "done", "refused", "fault"]
    said: str
    seconds: float


class OddLines:
    """A folder with files and bundles to name, and random argument lines that name them.

    Args:
      folder: a new one; it becomes the working folder while lines run.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder, self.random = folder, random.Random(0)
        for name, content in OWN_FILES.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (folder / "folder").mkdir()
        (folder / "link").symlink_to("link")
        os.mkfifo(folder / "pipe")
        (folder / "results").mkdir()
        with contextlib.chdir(folder):
            for name, home in (("drifting-control", "bundle"), ("host.py:make", "host-bundle")):
                distribution = tasks.make(name)
                algorithm = algorithms.make("rl2", distribution.spec, hidden_size=4)
                shapes = jax.eval_shape(algorithm.agent.init, jax.random.key(0))
                params = jax.tree.map(lambda leaf: np.zeros((2, *leaf.shape), leaf.dtype), shapes)
                qs.save_bundle(home, algorithm, params, distribution=distribution)
            open_store("sqlite:sessions.db", serves=False).close()

    def line(self, verb: str, chance: random.Random) -> list[str]:
        """A random line for a verb: words, then flags with values."""
        self.random = chance
        words, kinds = getattr(self, f"_{verb}")()
        known = {flag: kind for one in kinds for flag, kind in flags_of(one).items()}
        flags: list[str] = []
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 2, 3, 6))):
            flags += self._flag(known)
        if self.random.random() < 0.05:
            words.insert(self.random.randrange(len(words) + 1), self._text())
        if self.random.random() < 0.03:
            self.random.shuffle(flags)
        return [verb, *words, *flags]

    def run(self, line: list[str]) -> Ending:
        """Runs a line in the folder; never raises but for an interrupt."""
        said, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
        began, failed, status = time.monotonic(), "", None
        with contextlib.chdir(self.folder), contextlib.ExitStack() as stack:
            for seam in SEAMS:
                stack.enter_context(mock.patch(seam, side_effect=Reached))
            stack.enter_context(mock.patch("quickstudy.training.devices.use_whole_machine"))  # JAX has started already
            stack.enter_context(mock.patch.dict(os.environ, {"QUICKSTUDY_MEMORY_GB": "0.5"}))
            stack.enter_context(contextlib.redirect_stdout(said))
            stack.enter_context(contextlib.redirect_stderr(errors))
            try:
                status = main(line)
            except Reached:
                status = "reached"
            except SystemExit as stop:
                status = stop.code or 0
            except Exception:
                failed = traceback.format_exc()
        seconds = time.monotonic() - began
        for stream in (said, errors):
            stream.flush()
        told = errors.buffer.getvalue().decode()
        if not failed and seconds > MOST_SECONDS:
            failed = f"it took {seconds:.0f} s"
        if not failed and status in (1, 2) and not (told.startswith("quickstudy: ") and told.count("\n") == 1):
            failed = f"status {status}, and it said {told[-500:]!r}"
        if not failed and status not in (0, 1, 2, "reached"):
            failed = f"status {status!r}: {told[-500:]!r}"
        if failed:
            return Ending("fault", failed, seconds)
        return Ending({0: "done", "reached": "reached"}.get(status, "refused"), told, seconds)

    # One function for each verb: leading words, and the dataclasses of its flags.

    def _list(self):
        return [], []

    def _train(self):
        algorithm = self._pick(list(algorithms.ALGORITHMS), ["ppo", "other.py:make", "mine.py", *TEXTS])
        own = [f"{name}:make" for name in OWN_FILES if name.endswith(".py")]
        more = ["mine.py", "mine.py:array", "mine.py:nothing", "other.py:N", "other.py:stops", "other.py:needs", *own, *TEXTS]
        known = [name for name in tasks.DISTRIBUTIONS if name not in tasks.SUITES]
        distribution = self._pick([*known, "mine.py:make", "host.py:make"], more)
        kinds = [train.RunArguments, TrainingConfig, CollectingConfig, ProcessesConfig]
        with contextlib.suppress(QuickstudyError), contextlib.chdir(self.folder):
            kinds.append(config_class(algorithms.factory_of(algorithm)))
        with contextlib.suppress(QuickstudyError), contextlib.chdir(self.folder):
            factory = resolve("task distribution", distribution, tasks.DISTRIBUTIONS)
            kinds.append(settings_class(distribution, factory))
        return [algorithm, distribution], kinds

    def _sweep(self):
        words, kinds = self._train()
        over = self._pick(
            ["learning_rate=1e-4,1e-3", "seed=0:9", "budget=1s,2s"], [*TEXTS, "x=1", "seed=0:9:log", "seed=1,=,2"]
        )
        return [*words, "--over", over], [sweep.SweepArguments, SweepConfig, *kinds[1:]]

    def _evaluate(self):
        return self._bundles(), [evaluate.EvaluateArguments, CollectingConfig]

    def _speed(self):
        return self._bundles(), [speed.SpeedArguments, CollectingConfig]

    def _readout(self):
        words = self._pick([["bundle"], ["drifting-control", "--baseline", "random"]], [[one] for one in (*FILES, *TEXTS)])
        return list(words), [readout.ReadoutArguments, ReadoutConfig]

    def _video(self):
        words = self._pick([["host-bundle", "--on", "host.py:make"]], [[one] for one in (*FILES, *TEXTS)])
        return list(words), [video.VideoArguments]

    def _report(self):
        return [self._pick(["bundle", "folder"], [*FILES, *TEXTS])], [report.ReportArguments]

    def _export(self):
        return [self._pick(["bundle", "host-bundle"], [*FILES, *TEXTS])], [export.ExportArguments]

    def _explain(self):
        return [self._pick(["bundle", "host-bundle"], [*FILES, *TEXTS])], [explain.ExplainArguments]

    def _fit(self):
        return [self._pick(["records.csv", "few.csv"], [*FILES, *TEXTS])], [fit.FitArguments]

    def _dashboard(self):
        return [], [DashboardSettings]

    def _check(self):
        own = [f"{name}:make" for name in OWN_FILES if name.endswith(".py")]
        known = [name for name in tasks.DISTRIBUTIONS if name not in tasks.SUITES]
        return [self._pick([*known, "host.py:make", "mine.py:make"], [*own, *FILES, *TEXTS])], [check.CheckArguments]

    def _bench(self):
        verb = self._pick(["list", "run", "verify", "page"], list(TEXTS))
        kind = {"run": bench.RunRowArguments, "verify": bench.VerifyArguments}.get(verb, bench.WhereArguments)
        rows = [self._pick(["bandit-n10-k5"], [*TEXTS])] if verb == "run" or self.random.random() < 0.2 else []
        return [verb, *rows], [kind]

    def _serve(self):
        kinds = [ServerSettings, SessionPolicy, serve.AgentArguments, serve.RegistryArguments]
        return [self._pick(["bundle"], [*FILES, *TEXTS])], kinds

    def _registry(self):
        verb = self._pick(list(registry.WORDS), list(TEXTS))
        more = [self._pick(["bundle", "champion"], [*FILES, *TEXTS])] if len(registry.WORDS.get(verb, ())) == 3 else []
        return [verb, self._pick(["agents", "folder"], [*FILES, *TEXTS]), self._text(), *more], [registry.RegistryArguments]

    def _token(self):
        verb = self._pick(list(token.WORDS), list(TEXTS))
        return self._store_words(verb, token.WORDS), [token.TokenArguments]

    def _audit(self):
        verb = self._pick(list(audit.WORDS), list(TEXTS))
        return self._store_words(verb, audit.WORDS), [audit.AuditArguments]

    def _store_words(self, verb, known):
        """A verb of `token` or `audit`, a store, and what else the verb takes."""
        more = [self._text() for _ in known.get(verb, ())[1:]]
        return [verb, self._pick(["sqlite:sessions.db"], STORES), *more]

    def _demo(self):
        return [], [demo.DemoArguments]

    def _card(self):
        return [self._pick(["bundle", "host-bundle"], [*FILES, *TEXTS])], [card.CardArguments]

    def _plot(self):
        return [self._pick(["folder"], [*FILES, *TEXTS])], [plot.PlotArguments]

    def _track(self):
        return [self._pick(["folder", "bundle"], [*FILES, *TEXTS])], [track.TrackArguments]

    def _doctor(self):
        return [], []

    def _bundles(self):
        word = self._pick(["bundle", "host-bundle"], [*FILES, *TEXTS])
        on = ["--on", "host.py:make"] if word == "host-bundle" else []
        return [word, *on]

    def _pick(self, likely, odd):
        return self.random.choice(likely if self.random.random() < 0.8 else odd)

    def _text(self) -> str:
        return self.random.choice((*TEXTS, *NUMBERS, *FILES))

    def _flag(self, known: dict[str, object]) -> list[str]:
        if not known or self.random.random() < 0.05:
            return [f"--{self.random.choice(('lr', 'gamma', 'out', 'x', 'help ', 'Seeds', 'seeds=', ''))}", self._text()]
        flag = self.random.choice(list(known))
        name = flag.replace("_", "-") if self.random.random() < 0.9 else flag
        value = self._values(flag, known[flag])
        shape = self.random.random()
        if shape < 0.05:
            return [f"--{name}"]
        if shape < 0.1:
            return [f"--no-{name}"]
        return [f"--{name}={value[0]}", *value[1:]] if shape < 0.3 and value else [f"--{name}", *value]

    def _values(self, flag: str, kind: object) -> list[str]:
        """Values for a flag: likely ones of its type, numbers at the ends of their ranges, and text."""
        if flag == "budget" and self.random.random() < 0.8:
            return [self.random.choice((*BUDGETS, "100 steps", "1s"))]
        if flag in ("store", "host"):
            return [self.random.choice(STORES if flag == "store" else HOSTS)]
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        if get_origin(kind) in (Union, types.UnionType):
            kind = self.random.choice(get_args(kind))
        way = self.random.random()
        if way < 0.15:
            return [self._text()]
        if kind is bool:
            return [] if way < 0.8 else [self.random.choice(("True", "False", "0"))]
        if kind in (int, float):
            return [self.random.choice(NUMBERS) if way < 0.7 else str(kind(self.random.choice((1, 2, 4, 8, 100))))]
        if get_origin(kind) is Literal:
            return [str(self.random.choice(get_args(kind)))]
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return [self.random.choice([one.name for one in kind])]
        if get_origin(kind) is tuple:
            inner = get_args(kind)[0]
            return [value for _ in range(self.random.randrange(4)) for value in self._values("", inner)]
        return [self.random.choice((*FILES, *TEXTS, "train", "test", "host.py:make", "drifting-control", "ppo", "inline"))]


def flags_of(kind: type) -> dict[str, object]:
    """The flags of a dataclass, its parts included, and their types."""
    found: dict[str, object] = {}
    kinds = annotations_of(kind)
    for field in dataclasses.fields(kind):
        one = kinds[field.name]
        found |= flags_of(one) if dataclasses.is_dataclass(one) else {field.name: one}
    return found


def try_lines(verb: str, *, lines: int, seed: int) -> tuple[collections.Counter, list[tuple[list[str], str]]]:
    """Runs random lines of a verb. How many ended how, and each line that ended in a fault with what it said."""
    endings, faults = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        odd, chance = OddLines(pathlib.Path(folder)), random.Random(seed)
        for _ in range(lines):
            line = odd.line(verb, chance)
            ending = odd.run(line)
            endings[ending.kind] += 1
            if ending.kind == "fault":
                faults.append((line, ending.said))
    return endings, faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Odd argument lines for every verb; prints those that end in a fault.")
    parser.add_argument("--lines", type=int, default=500, help="for each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="*", default=list(VERBS))
    asked = parser.parse_args()
    found = False
    for verb in asked.verbs:
        began = time.monotonic()
        endings, faults = try_lines(verb, lines=asked.lines, seed=asked.seed)
        print(f"{verb}: {dict(endings)} in {time.monotonic() - began:.0f} s", flush=True)
        for line, said in faults:
            found = True
            print(f"  {[word if len(word) < 60 else word[:60] + ' ...' for word in line]}\n    {said}", flush=True)
    sys.exit(found)
