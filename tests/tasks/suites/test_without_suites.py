"""What the tasks of suites say and do where the suite is not installed."""

import sys

import numpy as np
import pytest

from quickstudy import cli, tasks
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.protocol.task_distribution import mark_split
from quickstudy.tasks.suites.locomotion.distribution import marked

LOCOMOTION = [name for name, home in tasks.SUITES.items() if ".locomotion." in home]


@pytest.mark.parametrize("missing", ["mujoco", "imageio"])
@pytest.mark.parametrize("name", LOCOMOTION)
def test_one_line_says_how_to_install_mujoco(name, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError) as error:
        tasks.make(name)
    assert str(error.value) == "MuJoCo is not installed. Install it with: pip install 'quickstudy[mujoco]'"


def test_the_list_goes_on_without_them(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(f" {name} " in said for name in tasks.DISTRIBUTIONS)
    assert "quickstudy[mujoco]" in said


def test_marked_numbers_are_those_of_mark_split():
    splits = ("train", "test", "ood:far")
    for split in splits:
        drawn = marked(np.random.default_rng(0), split, splits, (2000,))
        assert np.array_equal(drawn, np.asarray(mark_split(drawn.astype(np.float32), split, splits)))
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
