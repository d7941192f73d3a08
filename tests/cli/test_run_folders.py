"""What the command line says of run folders: one plain line."""

import os
from unittest.mock import Mock

import pytest

from quickstudy import algorithms, tasks
from quickstudy.cli import main
from quickstudy.cli.progress_panel import Panel
from quickstudy.storage.folder_lock import FolderLock
from quickstudy.training.loop import TrainingConfig

TINY = ["--arms", "2", "--pulls", "5", "--hidden-size", "8", "--lifetimes", "32", "--budget", "500 steps"]


@pytest.mark.parametrize("more", [[], ["--resume"], ["--overwrite"]])
def test_a_second_run_in_a_folder_is_refused_in_one_line(tmp_path, capsys, more):
    lock = FolderLock.take(tmp_path)
    try:
        assert main(["train", "rl2", "bernoulli-bandit", *TINY, "--folder", str(tmp_path), *more]) == 2
    finally:
        lock.release()
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"quickstudy: {tmp_path} is in use: process {os.getpid()} on the host ")
    assert "\n" not in said


def test_trouble_of_the_disk_is_shown_once(capsys):
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
    trouble = {
        "trouble": "the metrics could not be written: No space left on device (runs/[/x]/metrics.jsonl)",
        "nonfinite_steps": [0.0],
    }
    with Panel(algorithm, distribution, TrainingConfig()) as panel:
        for update in (7, 8, 9):
            panel.watch(Mock(metrics=trouble, evaluations=[], update=update))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("No space left on device (runs/[/x]/metrics.jsonl); training goes on.") == 1
