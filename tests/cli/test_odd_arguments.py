"""Odd argument lines: each ends in work or in one clear line, for every verb. `odd_arguments.py` makes and runs them."""

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.odd_arguments import OddLines, flags_of, try_lines
from marks import slow_unless
from quickstudy.cli import VERBS
from quickstudy.cli.train import RunArguments

QUICK = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None, print_blob=False
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return OddLines(tmp_path_factory.mktemp("odd"))


LINES = 40
EXHAUSTIVE_LINES = int(os.environ.get("QUICKSTUDY_ODD_LINES", "200"))
"""Lines for each command. docs/robustness.md has the result of 500, which take 20 minutes."""


@pytest.mark.parametrize("verb", VERBS)
def test_odd_lines_end_in_work_or_in_one_clear_line(verb, odd):
    @QUICK
    @given(chance=st.randoms(use_true_random=False))
    def every_line(chance):
        line = odd.line(verb, chance)
        ending = odd.run(line)
        assert ending.kind != "fault", f"{line}: {ending.said}"

    every_line()


@pytest.mark.parametrize("lines", slow_unless([EXHAUSTIVE_LINES], [LINES, EXHAUSTIVE_LINES]))
@pytest.mark.parametrize("verb", VERBS)
def test_many_odd_lines(verb, lines):
    endings, faults = try_lines(verb, lines=lines, seed=1)
    assert not faults
    assert sum(endings.values()) == lines


def test_what_is_no_clear_line_is_found(odd, monkeypatch):
    def fails(arguments):
        raise ValueError("as a traceback")

    def says_nothing(arguments):
        return 2

    for wrong, expected in ((fails, "as a traceback"), (says_nothing, "status 2, and it said ''")):
        monkeypatch.setattr("quickstudy.cli.list.run", wrong)
        ending = odd.run(["list"])
        assert ending.kind == "fault"
        assert expected in ending.said


def test_every_flag_of_a_record_is_found():
    expected = {"folder", "resume", "overwrite", "begin_with", "config", "print_config", "measure_baselines"}
    assert set(flags_of(RunArguments)) == expected


def test_lines_reach_the_work_and_are_refused(odd):
    assert odd.run(["train", "rl2", "bernoulli-bandit", "--folder", "[/x]"]).kind == "reached"
    assert odd.run(["evaluate", "bundle", "--splits", "test", "--tasks", "20"]).kind == "reached"
    assert odd.run(["train", "rl2", "bernoulli-bandit", "--seeds", "20000000"]).kind == "refused"
    assert odd.run(["evaluate", "bundle", "--tasks", "1000000000"]).said.count("needs about") == 1
    assert odd.run(["export", "bundle", "--to", "c", "--check", "20"]).kind == "reached"
    assert odd.run(["export", "bundle", "--folder", "[/x]"]).kind == "reached"
    assert odd.run(["export", "bundle", "--check", "1000000000"]).said.count("needs about") == 1


AS_PROCESSES = {
    "a byte that is no text": (["train", "rl2", "bernoulli-bandit", "--folder", b"caf\xe9"], "an argument is not UTF-8 text"),
    "a path of such bytes": (["evaluate", b"\xff"], "an argument is not UTF-8 text"),
    "a budget beyond all bounds": (["train", "rl2", "bernoulli-bandit", "--budget", "1e400 steps"], "at most 1e+18 steps"),
    "a seed of 64 bits": (["train", "rl2", "bernoulli-bandit", "--seed", str(2**63)], "seed must lie between 0 and 4294967295"),
    "no number": (["train", "rl2", "bernoulli-bandit", "--checkpoint-seconds", "nan"], "checkpoint_seconds must be finite"),
    "more seeds than fit": (
        ["train", "rl2", "bernoulli-bandit", "--seeds", "20000000"],
        "training 20,000,000 seeds (parameters, optimiser, replay store) needs about",
    ),
    "more tasks than fit": (["evaluate", "bundle", "--tasks", "1000000000"], "measuring on 1,000,000,000 tasks needs about"),
    "a flag of another library": (["train", "rl2", "bernoulli-bandit", "--lr", "0.1"], "Did you mean '--learning-rate'?"),
    "a file that ends the program": (["check", "leaves.py:make"], "it ends the program (SystemExit: 0) (line 2)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", AS_PROCESSES)
def test_odd_lines_as_processes(case, odd):
    words, expected = AS_PROCESSES[case]
    line = [word if isinstance(word, bytes) else word.encode() for word in words]
    done = subprocess.run(
        [sys.executable.encode(), b"-c", b"import sys; from quickstudy.cli import main; sys.exit(main())", *line],
        cwd=odd.folder, capture_output=True, timeout=120, env=os.environ | {"QUICKSTUDY_MEMORY_GB": "4"}, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert said.startswith("quickstudy: ")
    assert said.count("\n") == 1
    assert expected in said
