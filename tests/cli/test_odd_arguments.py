"""Odd argument lines: each ends in work or in one clear line, for every verb. `odd_arguments.py` makes and runs them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.odd_arguments import OddLines, flags_of, try_lines
from quickstudy.cli import VERBS
from quickstudy.cli.train import RunArguments

QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None, print_blob=False
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return OddLines(tmp_path_factory.mktemp("odd"))


@pytest.mark.parametrize("verb", VERBS)
def test_odd_lines_end_in_work_or_in_one_clear_line(verb, odd):
    @QUICK
    @given(chance=st.randoms(use_true_random=False))
    def every_line(chance):
        line = odd.line(verb, chance)
        ending = odd.run(line)
        assert ending.kind != "fault", f"{line}: {ending.said}"

    every_line()


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_many_odd_lines(verb):
    endings, faults = try_lines(verb, lines=500, seed=1)
    assert not faults
    assert sum(endings.values()) == 500


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
    assert set(flags_of(RunArguments)) == {"folder", "resume", "overwrite", "config", "print_config"}


def test_lines_reach_the_work_and_are_refused(odd):
    assert odd.run(["train", "rl2", "bernoulli-bandit", "--folder", "[/x]"]).kind == "reached"
    assert odd.run(["evaluate", "bundle", "--splits", "test", "--tasks", "20"]).kind == "reached"
    assert odd.run(["train", "rl2", "bernoulli-bandit", "--seeds", "20000000"]).kind == "refused"
    assert odd.run(["evaluate", "bundle", "--tasks", "1000000000"]).said.count("needs about") == 1
