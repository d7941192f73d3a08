"""Suggestions: the likely name, or none."""

import pytest

from quickstudy import algorithms, tasks
from quickstudy.cli import VERBS
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.suggestions import suggestion

FLAGS = [
    "--folder", "--learning-rate", "--discount", "--hidden-size", "--lifetimes", "--budget", "--workers", "--help", "--seeds",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "allowed", "meant"),
    [
        ("--lr", FLAGS, "--learning-rate"),
        ("--gamma", FLAGS, "--discount"),
        ("--total-timesteps", FLAGS, "--budget"),
        ("--total_timesteps", FLAGS, "--budget"),
        ("--num-envs", FLAGS, "--lifetimes"),
        ("--Seeds", FLAGS, "--seeds"),
        ("--hidden", FLAGS, "--hidden-size"),
        ("--leraning-rate", FLAGS, "--learning-rate"),
        ("--xyz", FLAGS, None),
        ("trian", VERBS, "train"),
        ("serv", VERBS, "serve"),
        ("deploy", VERBS, None),
        ("exprot", VERBS, "export"),
        ("package", VERBS, None),
        ("eval", VERBS, None),
        ("ppo", algorithms.ALGORITHMS, None),
        ("rl3", algorithms.ALGORITHMS, "rl2"),
        ("sparse_maml", algorithms.ALGORITHMS, "sparse-maml"),
        ("bernouli-bandit", tasks.DISTRIBUTIONS, "bernoulli-bandit"),
        ("bandit", tasks.DISTRIBUTIONS, None),
        ("reach-v3", ["reach", "push"], "reach"),
        ("", FLAGS, None),
        ("x" * 100_000, FLAGS, None),
        ("a", [], None),
    ],
)
def test_the_likely_name_or_none(name, allowed, meant):
    assert suggestion(name, sorted(allowed)) == meant


def test_a_baseline_is_no_algorithm_and_it_is_said():
    for name in ("ppo", "Thompson sampling"):
        with pytest.raises(UnknownNameError, match=r"is a baseline: `quickstudy speed RUN --against"):
            algorithms.factory_of(name)


def test_a_long_name_is_cut():
    assert len(str(UnknownNameError("thing", "x" * 100_000, ["a"]))) < 400
