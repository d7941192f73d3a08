"""Advice: how the same is done here, for words that have no name here."""

import re

import pytest

from quickstudy import algorithms, baselines
from quickstudy.cli import VERBS
from quickstudy.protocol.advice import _BY_KIND, advice
from quickstudy.protocol.errors import UnknownNameError


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("command", "deploy", "`quickstudy serve BUNDLE`"),
        ("command", "tensorboard", "`quickstudy report RUN RUN` draws the curves"),
        ("command", "wandb", "watch="),
        ("command", "mlflow", "`quickstudy track RUN`"),
        ("command", "ppo", "`quickstudy list` names both, and the baseline PPO"),
        ("flag", "--wandb", "metrics.jsonl"),
        ("flag", "--wandb-project-name", "metrics.jsonl"),
        ("flag", "--tensorboard_log", "metrics.jsonl"),
        ("flag", "--num-steps", "--horizon and --episodes"),
        ("key in file.toml, section [training],", "device", "JAX_PLATFORMS=cpu"),
        ("algorithm", "SAC", "the baseline `ppo`"),
    ],
)
def test_words_of_other_libraries_get_a_sentence(kind, name, said):
    assert said in advice(kind, name)
    assert said in str(UnknownNameError(kind, name, ["folder", "trace-decay"]))


@pytest.mark.parametrize(("kind", "name"), [("flag", "--xyz"), ("split", "wandb"), ("command", "export"), ("algorithm", "rl3")])
def test_other_words_get_none(kind, name):
    assert advice(kind, name) is None


def test_a_hint_goes_first():
    assert "Ask differently." in str(UnknownNameError("command", "deploy", ["serve"], hint="Ask differently."))


def test_advice_names_commands_algorithms_and_baselines_that_exist():
    sentences = {sentence for table in _BY_KIND.values() for sentence in table.values()}
    named = {word for sentence in sentences for word in re.findall(r"`quickstudy (\w+)", sentence)}
    assert named <= set(VERBS)
    assert "multi-task" in algorithms.ALGORITHMS
    assert "ppo" in baselines.BASELINES
    assert not set(_BY_KIND["command"]) & set(VERBS)
    assert not set(_BY_KIND["algorithm"]) & set(algorithms.ALGORITHMS)
