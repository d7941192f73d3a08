"""Suggestions: the likely name, or none."""

import pytest

from quickstudy import algorithms, tasks
from quickstudy.cli import VERBS
from quickstudy.cli.evaluate import EvaluateArguments
from quickstudy.cli.train import RunArguments
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.registry import config_class, resolve, settings_of
from quickstudy.protocol.settings import flat_settings
from quickstudy.protocol.suggestions import SYNONYMS, suggestion
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.training.loop import TrainingConfig

CONFIGURATIONS = [config_class(algorithms.factory_of(name))() for name in algorithms.ALGORITHMS]
OF_TASKS = [settings_of(resolve("task distribution", name, tasks.DISTRIBUTIONS)) for name in tasks.DISTRIBUTIONS]
OTHERS = [TrainingConfig(), CollectingConfig(), RunArguments(), EvaluateArguments()]
NAMES_IN_USE = {name for one in [*map(flat_settings, [*CONFIGURATIONS, *OTHERS]), *OF_TASKS] for name in one}
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
        ("--num_rollout_workers", FLAGS, "--workers"),
        ("gae_lambda", ["trace_decay", "discount"], "trace_decay"),
        ("lambda_", ["trace_decay", "discount"], "trace_decay"),
        ("wandb", FLAGS, None),
        ("--Seeds", FLAGS, "--seeds"),
        ("--hidden", FLAGS, "--hidden-size"),
        ("--leraning-rate", FLAGS, "--learning-rate"),
        ("--xyz", FLAGS, None),
        ("trian", VERBS, "train"),
        ("serv", VERBS, "serve"),
        ("deploy", VERBS, None),
        ("exprot", VERBS, "export"),
        ("package", VERBS, None),
        ("eval", VERBS, "evaluate"),
        ("envs", VERBS, "list"),
        ("test", VERBS, None),
        ("tensorboard", VERBS, None),
        ("ppo", algorithms.ALGORITHMS, None),
        ("sac", algorithms.ALGORITHMS, None),
        ("recurrent-ppo", algorithms.ALGORITHMS, "rl2"),
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


def test_every_other_name_leads_to_a_name_that_exists():
    known = {name.replace("_", "-") for name in NAMES_IN_USE} | set(VERBS) | set(algorithms.ALGORITHMS)
    missing = {word: [name for name in names if name not in known] for word, names in SYNONYMS.items()}
    assert {word: names for word, names in missing.items() if names} == {}
    assert known & set(SYNONYMS) <= {"steps"}  # a setting of PEARL; other commands do not have it
