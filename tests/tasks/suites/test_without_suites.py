"""What the tasks of suites say and do where the suite is not installed."""

import importlib
import pathlib
import sys
import tomllib

import numpy as np
import pytest

from quickstudy import cli, tasks
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.protocol.task_distribution import mark_split
from quickstudy.tasks.suites.locomotion.distribution import marked
from quickstudy.tasks.suites.suite import (
    CLASSIFICATION_SETS,
    COMPETITION_SERIES,
    META_WORLD,
    MUJOCO,
    PROCGEN,
    VISITOR_RECORDS,
    XLAND,
)

REAL = [CLASSIFICATION_SETS, COMPETITION_SERIES, VISITOR_RECORDS]
LOCOMOTION = [name for name, home in tasks.SUITES.items() if ".locomotion." in home]


@pytest.mark.parametrize("missing", ["mujoco", "imageio"])
@pytest.mark.parametrize("name", LOCOMOTION)
def test_one_line_says_how_to_install_mujoco(name, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError) as error:
        tasks.make(name)
    assert str(error.value) == "MuJoCo is not installed. Install it with: pip install 'quickstudy[mujoco]'"


@pytest.mark.parametrize("suite", [MUJOCO, META_WORLD, PROCGEN, XLAND, *REAL], ids=lambda suite: suite.title)
def test_the_list_says_what_to_install_behind_each_name_of_a_suite(suite, monkeypatch, capsys):
    for package in suite.packages:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(f" {name} " in said for name in tasks.DISTRIBUTIONS)
    lines = {line.split()[0] for line in said.splitlines() if f"{suite.title} is not installed" in line}
    of_suite = {name for name in tasks.SUITES if importlib.import_module(tasks.SUITES[name].partition(":")[0]).SUITE is suite}
    assert lines == of_suite != set()
    assert cli.main(["list", min(of_suite)]) == 0
    assert (
        f"{suite.title} is not installed. Install it with: pip install 'quickstudy[{suite.extra}]'" in capsys.readouterr().out
    )


def test_extras_of_suites_are_those_of_the_package():
    extras = tomllib.loads((pathlib.Path(__file__).parents[3] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {suite.extra for suite in (MUJOCO, META_WORLD, PROCGEN, XLAND, *REAL)} <= set(extras)


def test_marked_numbers_are_those_of_mark_split():
    splits = ("train", "test", "ood:far")
    for split in splits:
        drawn = marked(np.random.default_rng(0), split, splits, (2000,))
        assert np.array_equal(drawn, np.asarray(mark_split(drawn.astype(np.float32), split, splits)))
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
