"""The command line as people meet it: whole commands, what they say, how they end."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quickstudy import algorithms, baselines, tasks
from quickstudy.cli import main

TINY = ["--arms", "2", "--pulls", "5", "--hidden-size", "8", "--lifetimes", "32", "--held-out-tasks", "32"]


def run(*arguments, capsys):
    """Exit status, standard output, standard error."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code or 0
    return status, *capsys.readouterr()


def trained(folder, capsys, *more):
    return run("train", "rl2", "bernoulli-bandit", *TINY, "--budget", "1000 steps", "--folder", folder, *more, capsys=capsys)


def test_help_does_not_import_jax():
    code = "import sys; from quickstudy.cli import main; main(['--help']); assert 'jax' not in sys.modules"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "quickstudy COMMAND" in done.stdout
    assert time.monotonic() - began < 30  # it takes a twentieth of a second; only a hang should fail here


SHIPPED = str(Path(__file__).parents[2] / "bundles" / "bandit-n10-k5")
WRONG = {
    "readout: no such baseline": (
        ["readout", "drifting-control", "--baseline", "certainty"],
        "drifting-control, 'certainty'",
    ),
    "readout: no such split": (["readout", "drifting-control", "--baseline", "random", "--splits", "tset"], "unknown split"),
    "readout: nothing there": (["readout", "nowhere"], "nowhere"),
    "unknown command": (["trian"], "Did you mean 'train'?"),
    "a command of others": (["eval", "runs/a"], "Did you mean 'evaluate'?"),
    "what a command of others is here": (["deploy", "runs/a"], "`quickstudy serve BUNDLE`"),
    "a baseline is no algorithm": (["train", "ppo", "bernoulli-bandit"], "`quickstudy speed RUN --against ppo`"),
    "a flag of others": (["train", "rl2", "bernoulli-bandit", "--lr", "1"], "Did you mean '--learning-rate'?"),
    "a flag without a name here": (["train", "rl2", "bernoulli-bandit", "--wandb"], "metrics.jsonl"),
    "list: no such name": (["list", "rl3"], "unknown name 'rl3'. Did you mean 'rl2'?"),
    "report: no run": (["report", ".", "."], "holds no run"),
    "report: a folder for one run": (["report", ".", "--folder", "there"], "Leave --folder out"),
    "unknown algorithm": (["train", "rl3", "bernoulli-bandit"], "unknown algorithm 'rl3'. Did you mean 'rl2'?"),
    "unknown distribution": (["train", "rl2", "bernouli-bandit"], "Did you mean 'bernoulli-bandit'?"),
    "missing name": (["train", "rl2"], "DISTRIBUTION missing"),
    "unknown flag": (["train", "rl2", "bernoulli-bandit", "--armz", "3"], "unknown flag '--armz'. Did you mean '--arms'?"),
    "no bundle to begin with": (
        ["train", "rl2", "bernoulli-bandit", "--begin-with", "nowhere"],
        "there is no folder 'nowhere'",
    ),
    "not a number": (
        ["train", "rl2", "bernoulli-bandit", "--arms", "many"],
        "--arms must be a whole number; came 'many'.",
    ),
    "no number": (["fit", "a.csv", "--held-out", "few"], "quickstudy: --held-out must be a number; came 'few'."),
    "neither nothing nor a number": (
        ["fit", "a.csv", "--horizon-users", "1e400"],
        "quickstudy: --horizon-users must be None or a whole number; came '1e400'.",
    ),
    "no such choice": (["train", "rl2", "bernoulli-bandit", "--cell", "rnn"], "'rnn'"),
    "zero arms": (["train", "rl2", "bernoulli-bandit", "--arms", "0"], "arms must be 2 or more; came 0"),
    "bad budget": (["train", "rl2", "bernoulli-bandit", "--budget", "soon"], "budget must be a time"),
    "setting out of range": (["train", "rl2", "bernoulli-bandit", "--discount", "2"], "discount must lie between 0 and 1"),
    "check: no file": (["check", "nowhere.py:make"], "there is no file 'nowhere.py'"),
    "check: not a path": (["check", "nowhere"], "unknown task distribution 'nowhere'"),
    "a baseline that there is not": (["evaluate", SHIPPED, "--against", "UBC1"], "Did you mean 'UCB1'?"),
    "baselines and none": (["evaluate", SHIPPED, "--against", "UCB1", "--no-baselines"], "Give one of the two"),
    "no bundle": (["evaluate", "nowhere"], "there is no folder 'nowhere'"),
    "nothing to report": (["report", "."], "holds no evaluation yet"),
    "rollouts that do not fit": (["train", "maml", "point-navigation", "--episodes", "30"], "20 rollouts and 30 episodes"),
    "no such config": (["train", "rl2", "bernoulli-bandit", "--config", "nowhere.toml"], "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_line_and_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, expected = WRONG[case]
    status, out, err = run(*arguments, capsys=capsys)
    assert status == 2
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_a_file_that_does_not_import(capsys, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    status, _, err = run("check", f"{path}:make", capsys=capsys)
    assert status == 2
    assert "does not import: ModuleNotFoundError" in err
    path.write_text("def mak():\n    pass\n")
    status, _, err = run("check", f"{path}:make", capsys=capsys)
    assert status == 2
    assert "Did you mean 'mak'?" in err


def test_printed_configuration_can_be_fed_back(capsys, tmp_path):
    flags = ["--arms", "3", "--learning-rate", "0.01", "--budget", "7 steps", "--parallel-environments", "5", "--print-config"]
    _, printed, _ = run("train", "rl2", "bernoulli-bandit", *flags, capsys=capsys)
    file = tmp_path / "config.toml"
    file.write_text(printed)
    _, again, _ = run("train", "rl2", "bernoulli-bandit", "--config", file, "--print-config", capsys=capsys)
    assert again == printed
    assert "arms = 3" in printed
    assert "parallel_environments = 5" in printed.partition("[collecting]")[2].partition("[algorithm]")[0]
    file.write_text(file.read_text().replace("[algorithm]", "[algorithm]\nentropy_bonus = 0.01"))
    _, given, _ = run("train", "rl2", "bernoulli-bandit", "--config", file, "--print-config", capsys=capsys)
    assert "entropy_bonus = 0.01" in given
    _, above, _ = run("train", "rl2", "bernoulli-bandit", "--config", file, "--arms", "4", "--print-config", capsys=capsys)
    assert above == given.replace("arms = 3", "arms = 4")
    second = ["--processes", "2", "--process-id", "1", "--coordinator", "10.0.0.1:8476"]  # none of them fits without the others
    _, beside, _ = run("train", "rl2", "bernoulli-bandit", "--config", file, *second, "--print-config", capsys=capsys)
    assert beside == given


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[algorithm]\nlearning_rat = 1.0\n", "Did you mean 'learning_rate'?"),
        ("[algoritm]\n", "Did you mean 'algorithm'?"),
        ("[distribution]\narms = 'five'\n", "arms must be a whole number; came 'five'"),
        ("[collecting]\nworker = 2\n", "Did you mean 'workers'?"),
        ("[distribution\n", "does not parse"),
        ("arms = 3\n", "unknown section"),
    ],
)
def test_wrong_configuration_files(content, expected, capsys, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(content)
    status, _, err = run("train", "rl2", "bernoulli-bandit", "--config", file, capsys=capsys)
    assert status == 2
    assert expected in err


@pytest.mark.slow
def test_train_evaluate_report(capsys, tmp_path):
    folder = tmp_path / "run"
    status, out, err = trained(folder, capsys, "--seeds", "2")
    assert status == 0, err
    assert "held-out return" in out
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, 8))
    assert len(lines[-1]["held_out_return"]) == 2
    assert json.loads((folder / "run.json").read_text())["training"]["seeds"] == 2

    raw = tmp_path / "raw" / "returns.csv"
    status, out, err = run("evaluate", folder, "--tasks", "50", "--splits", "test", "train", "--raw", raw, capsys=capsys)
    assert status == 0, err
    assert f"Raw returns: {raw}" in out
    agents, splits = zip(*(line.split(",")[:2] for line in raw.read_text().splitlines()), strict=True)
    assert (agents.count("rl2"), splits.count("test"), splits.count("train")) == (
        200,
        splits.count("train"),
        splits.count("test"),
    )
    assert "TRAINING TASKS" in out
    card = json.loads((folder / "bundle" / "bundle.json").read_text())
    assert len(card["results"]["test"]["task_hash"]) == 64
    status, out, err = run("report", folder, capsys=capsys)
    assert status == 0, err
    assert "<html" in (folder / "report.html").read_text()
    assert (folder / "example-lifetime.json").is_file()
    words = ["--agent-name", "Our site", "--unit", "conversions", "--step", "visitor"]
    status, out, err = run("evaluate", folder, "--tasks", "50", "--splits", "test", *words, capsys=capsys)
    assert status == 0, err
    for piece in ("The mean return of Our site is ", "] conversions per lifetime of 5 visitors", "\n  quickstudy report "):
        assert piece in out
    assert out.strip().endswith("--agent-name 'Our site' --unit conversions --step visitor")
    assert "Our site" not in json.loads((folder / "evaluation-test.json").read_text(encoding="utf-8"))["results"]
    status, _, err = run("evaluate", folder, "--tasks", "50", "--agent-name", "greedy", capsys=capsys)
    assert status == 2
    assert "another contender is called 'greedy' already" in err
    status, out, err = run("report", folder, *words, capsys=capsys)
    assert status == 0, err
    assert re.search(r"^On 50 tasks never seen in training, Our site is ", out, re.M)
    assert "One lifetime of Our site" in (folder / "report.html").read_text(encoding="utf-8")
    shutil.copytree(folder, tmp_path / "again")
    status, out, err = run("report", folder, tmp_path / "again", "--folder", tmp_path / "both", capsys=capsys)
    assert status == 0, err
    assert "run ends at a held-out return of" in out
    assert (tmp_path / "both" / "comparison.html").is_file()
    status, _, err = run("report", folder, tmp_path / "again", *words, capsys=capsys)
    assert status == 2
    assert "--agent-name, --unit and --step are for the page of one run" in err

    status, _, err = trained(tmp_path / "more", capsys, "--begin-with", folder, "--learning-rate", "1e-4")
    assert status == 0, err
    assert json.loads((tmp_path / "more" / "run.json").read_text())["begins_with"] == card["parameters_sha256"]

    few = ["--tasks", "2", "--lifetimes", "1", "--against-episodes", "20", "--splits", "test"]
    status, out, err = run("speed", folder, "--against", "ppo", "random", *few, capsys=capsys)
    assert status == 0, err
    assert "speed-up" in out
    for kind in ("json", "svg", "png"):
        for rival in ("ppo", "random"):
            assert (folder / f"speed-rl2-against-{rival}-test.{kind}").is_file()
    status, _, err = run("speed", folder, "--against", "pppo", capsys=capsys)
    assert status == 2
    assert "unknown run, bundle or baseline 'pppo'. Did you mean 'ppo'?" in err

    status, _, err = trained(folder, capsys)
    assert status == 2
    assert "already exists. Go on with --resume, start again with --overwrite" in err
    status, _, err = trained(folder, capsys, "--resume", "--seeds", "2", "--arms", "3")
    assert status == 2
    assert "arms was 2, now 3" in err
    assert trained(folder, capsys, "--overwrite")[0] == 0

    status, _, err = run("evaluate", folder / "bundle", "--on", "tabular-mdp", capsys=capsys)
    assert status == 2
    assert "observation_space" in err
    status, _, err = run("evaluate", folder, "--splits", "tst", capsys=capsys)
    assert status == 2
    assert "Did you mean 'test'?" in err
    parameters = folder / "bundle" / "parameters.safetensors"
    parameters.write_bytes(parameters.read_bytes()[:-100])
    status, _, err = run("evaluate", folder, capsys=capsys)
    assert status == 2
    assert "truncated or altered" in err


@pytest.mark.slow
def test_adapting_that_makes_worse_is_said(capsys, tmp_path):
    size = ["--horizon", "10", "--episodes", "8", "--rollouts", "4", "--hidden-sizes", "8", "--lifetimes", "64"]
    for rate, worse in (("0.01", False), ("300", True)):
        status, out, err = run(
            "train", "maml", "point-navigation", *size, "--inner-rate", rate, "--learning-rate", "1e-6",
            "--held-out-tasks", "8", "--budget", "10000 steps", "--folder", tmp_path / rate, capsys=capsys,
        )  # fmt: skip
        assert status == 0, err
        assert ("Adapting makes this agent worse: the return of an episode is" in out) == worse


@pytest.mark.slow
def test_what_an_agent_believes(capsys, tmp_path):
    folder, small = tmp_path / "looked at", ["--tasks", "60", "--updates", "20", "--test-tasks", "20"]
    status, out, err = run(
        "readout", "drifting-control", "--baseline", "certainty equivalence", *small,
        "--splits", "test", "ood:gusts", "--folder", folder, capsys=capsys,
    )  # fmt: skip
    assert status == 0, err
    for told in ("Credible sets", "wind_x", "90 %", "ood:gusts", "last steps", "nats from the exact posterior"):
        assert told in out
    found = json.loads((folder / "calibration.json").read_text())
    assert [one["split"] for one in found] == ["test", "ood:gusts"]
    assert {one["name"] for one in found[0]["coverage"]} == {"wind_x", "wind_y"}
    for picture in ("belief", "surprise"):
        assert (folder / f"{picture}.svg").read_text().startswith("<?xml")
    assert (folder / "readout.safetensors").exists()


def test_list_names_everything(capsys):
    status, out, _ = run("list", capsys=capsys)
    assert status == 0
    lines = out.splitlines()
    for name in [*algorithms.ALGORITHMS, *tasks.DISTRIBUTIONS, *baselines.BASELINES]:
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        # A sentence; that of a suite may say in another one what to install.
        assert re.fullmatch(r".+\.( \S+ is not installed\. Install it with: pip install 'quickstudy\[\w+\]')?", line), line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rl2", "quickstudy train rl2 TASKS --help"),
        ("bernoulli-bandit", "Splits: train, test, "),
        ("bernoulli-bandit", "Settings: arms 5, pulls 100"),
        ("Thompson sampling", "quickstudy speed RUN --against thompson-sampling"),
    ],
)
def test_list_tells_more_about_one_name(name, said, capsys):
    status, out, err = run("list", name, capsys=capsys)
    assert status == 0, err
    assert said in out


@pytest.mark.slow
def test_a_distribution_of_ones_own_trains_the_same(capsys, tmp_path):
    mine = pathlib.Path(__file__).parents[2] / "examples" / "my_tasks.py"
    status, out, err = run("check", f"{mine}:make", "--samples", "500", capsys=capsys)
    assert status == 0, out + err
    size = ["--hidden-size", "8", "--lifetimes", "32", "--held-out-tasks", "32", "--budget", "1000 steps"]
    status, _, err = run("train", "rl2", f"{mine}:make", *size, "--folder", tmp_path / "mine", capsys=capsys)
    assert status == 0, err
    for verb in ("evaluate", "speed", "readout", "video"):
        status, _, err = run(verb, tmp_path / "mine", capsys=capsys)
        assert status == 2
        assert f"a file that is run only if you name it: --on {mine}:make" in err
    few = ["--tasks", "2", "--lifetimes", "1", "--against", "random", "--against-episodes", "20", "--splits", "test"]
    status, out, err = run("speed", tmp_path / "mine", "--on", f"{mine}:make", *few, capsys=capsys)
    assert status == 0, err
    assert "speed-up" in out
    small = ["--tasks", "60", "--updates", "20", "--test-tasks", "20", "--splits", "test"]
    status, out, err = run("readout", tmp_path / "mine", "--on", f"{mine}:make", *small, capsys=capsys)
    assert status == 0, err
    assert "elasticity" in out
    status, out, err = run("evaluate", tmp_path / "mine", "--on", f"{mine}:make", "--tasks", "20", capsys=capsys)
    assert status == 0, err
