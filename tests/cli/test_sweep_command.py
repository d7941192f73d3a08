"""`quickstudy sweep` as a command: what it prints, how it goes on, and what it refuses."""

import dataclasses
import shlex
from pathlib import Path

import pytest

import evaluation.sweep.tiny as tiny
from quickstudy.cli import main
from quickstudy.cli.train import parse_run
from quickstudy.evaluation.sweep.records import Sweep, Trial

ALGORITHM, TASKS = f"{Path(tiny.__file__)}:climber", f"{Path(tiny.__file__)}:task"
SEEDS = {"seeds": 1, "budget": "40 steps"}
SMALL = ["--budget", "40 steps", "--validation-tasks", "50", "--test-tasks", "50", "--held-out-tasks", "4"]


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path, capsys):
    folder = tmp_path / "swept"
    line = ["sweep", ALGORITHM, TASKS, "--over", "climb=-4,4", "--sampler", "grid", *SMALL, "--folder", str(folder)]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "2 trials (grid), 1 seed and a budget of 40 steps each" in said
    assert "trial 2 of 2  climb 4  return " in said
    assert "Trial 2 is the best of 2: climb 4." in said
    assert (folder / "sweep.html").is_file()
    command = shlex.split(said.splitlines()[-1])
    assert command[:2] == ["quickstudy", "train"]
    asked = parse_run(ALGORITHM, TASKS, command[4:])
    assert (asked.algorithm.climb, asked.training.seed) == (4, 1)
    assert main(line) == 2
    assert "already holds a sweep" in capsys.readouterr().err


def test_an_interrupt_while_a_trial_compiles_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*asked, watcher, **settings):
        trial = Trial(number=1, settings={"climb": -4})
        made = Sweep(
            **dict.fromkeys((field.name for field in dataclasses.fields(Sweep)), 0) | {"settings": {"training": SEEDS}}
        )
        watcher.begin(made, trial)
        raise KeyboardInterrupt

    monkeypatch.setattr("quickstudy.cli.sweep.sweep", interrupted)
    assert main(["sweep", ALGORITHM, TASKS, "--over", "climb=-4,4", "--folder", str(tmp_path / "swept")]) == 130
    told = capsys.readouterr()
    command = shlex.split(told.out.splitlines()[-1])
    assert command[:2] == ["quickstudy", "sweep"]
    assert command[-1] == "--resume"
    assert told.err == "quickstudy: interrupted.\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "a sweep needs a setting to vary: give --over once or more"),
        (["--over", "learning-rate=1e-3"], "learning_rate has one value, 0.001, so there is nothing to vary."),
        (["--over", "lr=1e-3,1e-2"], "Did you mean 'learning_rate'?"),
        (["--over", "learning_rate=1e-4:1e-2:log", "--sampler", "grid"], "a grid needs values, and learning_rate has a range."),
        (["--over", "learning_rate=-1:1"], "learning_rate must be above zero; came -1"),
        (["--over", "cell=gru,grru"], "unknown cell 'grru'. Did you mean 'gru'?"),
        (["--over", "arms=2,5", "--trials", "0"], "trials must be 1 or more; came 0."),
        (["--over", "arms=0,5"], "arms must be"),
        (["--over", "arms=2,5", "--resume"], "there is no sweep to resume in"),
        (["--over", "arms=2,5", "--sampler", "bayes"], "bayes"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(more, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "rl2", "bernoulli-bandit", *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("quickstudy: ")
    assert says in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    assert main(["sweep", "rl2", "bernoulli-bandit", "--over", "arms=2,5", "--sampler", "tpe"]) == 2
    said = capsys.readouterr().err
    assert "Optuna, which --sampler tpe needs, is not installed. Install it with: pip install 'quickstudy[sweep]'" in said
    assert list(tmp_path.iterdir()) == []
