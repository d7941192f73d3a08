"""The page for people from other libraries: its names exist, and its walk-through does what it says."""

import csv
import re

import pytest

from docs.pages import ROOT, commands, small_command
from quickstudy import algorithms, baselines, cli
from quickstudy.cli.evaluate import EvaluateArguments
from quickstudy.cli.train import RunArguments
from quickstudy.protocol.registry import config_class
from quickstudy.protocol.settings import flat_settings
from quickstudy.protocol.suggestions import suggestion
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.training.loop import TrainingConfig

PAGE = ROOT / "docs" / "coming-from.md"


def rows(heading):
    """The cells of the table below a heading."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]


def flags():
    """Every flag of training and evaluating, and those of a bandit and of an episodic task."""
    settings = [config_class(algorithms.factory_of(name))() for name in algorithms.ALGORITHMS]
    settings += [TrainingConfig(), CollectingConfig(), RunArguments(), EvaluateArguments()]
    names = {name.replace("_", "-") for one in settings for name in flat_settings(one)}
    return {f"--{name}" for name in names | {"pulls", "horizon", "episodes"}}


def test_every_setting_exists_and_is_suggested_for_its_other_names():
    for theirs, ours in rows("Settings"):
        named = re.findall(r"--[\w-]+", ours)
        assert named
        assert set(named) <= flags()
        if "--horizon" in named or theirs.startswith("`total_timesteps`"):
            continue  # a sentence answers these, or the name depends on the command
        for other in re.findall(r"`(\w+)`", theirs):
            if other not in {"learning_rate", "tensorboard_log", "num_minibatches"}:
                assert suggestion(f"--{other}", named) == named[0] or suggestion(f"--{other}", named) in named


def test_algorithms_and_baselines_exist():
    named = {name for _, ours in rows("Algorithms") for name in re.findall(r"`([\w-]+)`", ours)}
    assert named <= set(algorithms.ALGORITHMS) | set(baselines.BASELINES)


@pytest.mark.slow
def test_the_walk_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    for words in commands(PAGE):
        bare = ["--no-controls", "--no-example"] if words[1] == "evaluate" else []
        assert cli.main([*small_command(words)[1:], *bare]) == 0, capsys.readouterr().err
    assert "gru ends at a held-out return of" in capsys.readouterr().out
    assert (tmp_path / "runs" / "comparison" / "pictures" / "comparison-steps.svg").is_file()
    with (tmp_path / "returns.csv").open(newline="", encoding="utf-8") as file:
        returns = list(csv.DictReader(file))
    agents = {row["agent"] for row in returns}
    assert len(agents) == 2
    assert len(returns) == 2 * 3 * 64
    assert {row["split"] for row in returns} == {"test"}
