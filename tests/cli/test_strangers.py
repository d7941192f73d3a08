"""Files of strangers on the command line: nothing that they name is run, and nothing that they are called steers a terminal."""

import io
import json
import shutil
import sys
from pathlib import Path

import jax
import pytest
from rich.table import Table
from rich.text import Text

import hostile
from quickstudy import algorithms, tasks
from quickstudy.cli import main
from quickstudy.cli.console import Console, progress_bars, say
from quickstudy.cli.letters import show_every_letter
from quickstudy.storage.bundle import save_bundle

NAME = "m/[/x] [red]\x1b[2J\x1b]0;owned\x07 ε"
SHIPPED = Path(__file__).parents[2] / "bundles" / "two-arms"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=4)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, cell="gru")
    params = jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 1))
    return save_bundle(tmp_path_factory.mktemp("sound") / "bundle", algorithm, params, distribution=distribution)


def run(*arguments, capsys):
    try:
        status = main([str(one) for one in arguments])
    except SystemExit as stop:
        status = stop.code or 0
    return status, *capsys.readouterr()


TRAPS = [
    (("distribution", "name"), "--on"),
    (("algorithm", "name"), "--algorithm"),
    (("algorithm", "config", "teacher"), None),
]


@pytest.mark.parametrize("verb", ["evaluate", "speed", "readout", "video", "speed --against"])
@pytest.mark.parametrize(("at", "flag"), TRAPS[:2], ids=["tasks", "algorithm"])
def test_no_verb_runs_a_file_that_a_bundle_names(verb, at, flag, good, capsys, tmp_path):
    trap, ran = tmp_path / "a trap.py", tmp_path / "ran"
    trap.write_text(f"open({str(ran)!r}, 'w')\n\ndef make(*given, **named):\n    raise SystemExit(3)\n")
    folder = shutil.copytree(good, tmp_path / "stranger")
    hostile.card_with(at, f"{trap}:make")(folder)
    words = ["speed", good, "--against", folder] if verb == "speed --against" else [verb, folder]
    if verb == "speed --against" and at[0] == "distribution":
        pytest.skip("the tasks are those of the agent, and the opponent's are not made")
    status, out, err = run(*words, capsys=capsys)
    assert status == 2
    assert f"{flag} '{trap}:make'" in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert not ran.exists()


@pytest.mark.slow
def test_a_teacher_that_a_bundle_names_is_not_run(good, capsys, tmp_path):
    trap, ran = tmp_path / "trap.py", tmp_path / "ran"
    trap.write_text(f"open({str(ran)!r}, 'w')\n")
    folder = shutil.copytree(good, tmp_path / "stranger")
    hostile.card_with(TRAPS[2][0], f"{trap}:make")(folder)
    status, _, err = run("evaluate", folder, "--tasks", "4", "--splits", "test", "--folder", tmp_path / "out", capsys=capsys)
    assert (status, ran.exists()) == (0, False), err


def test_tasks_that_cannot_be_made_are_refused_in_one_line(good, capsys, tmp_path):
    folder = shutil.copytree(good, tmp_path / "stranger")
    for settings in ({"arms": "two"}, {"arms": 2**40}, {"pulls": -1}, {"no_such": 1}):
        hostile.card_with(("distribution", "config"), settings)(folder)
        for verb in ("evaluate", "speed", "readout"):
            status, _, err = run(verb, folder, capsys=capsys)
            assert status == 2, (settings, verb)
            assert err.count("\n") == 1


def shown(width=80, encoding="utf-8", **settings):
    """A console that writes to memory."""
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding, **settings), width=width)


def written(console):
    console.file.flush()
    return console.file.buffer.getvalue().decode(console.file.encoding)


def test_names_are_no_markup_and_steer_no_terminal():
    console = shown(width=200, newline="")
    table = Table(NAME, title=NAME, caption=NAME)
    table.add_column(Text(NAME))
    table.add_row(NAME, Text(NAME))
    console.print(NAME)
    console.print(NAME, style="yellow", soft_wrap=True)
    console.print(table, Text(NAME))
    with progress_bars(console) as bars:
        bars.add_task(NAME, total=1.0)
        bars.refresh()
    said = written(console)
    assert "\x1b" not in said
    assert "\x07" not in said
    assert said.count(r"m/[/x] [red]\x1b[2J") >= 8


def test_a_message_keeps_its_lines(capsys):
    say(f"Saved in {NAME}.\n  next line")
    assert capsys.readouterr().out == "Saved in " + r"m/[/x] [red]\x1b[2J\x1b]0;owned\x07 ε" + ".\n  next line\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_letters_that_a_terminal_lacks_are_replaced(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")
    monkeypatch.setattr(sys, "stdout", stream)
    show_every_letter()
    console = Console(width=60)
    table = Table("ε-greedy", title="RL² − 名前")
    table.add_row("▁▂▃ 5 µs \udcff")
    console.print(table)
    print("Größe ∞")
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)
    assert ("ε-greedy" if encoding == "utf-8" else "e-greedy") in said
    assert ("Größe" if encoding != "ascii" else "Groe")[:3] in said
    assert r"\udcff" in said


@pytest.mark.slow
def test_the_page_of_a_strangers_results_is_safe(capsys, tmp_path):
    """Names with markup, scripts, mathematics and paths; a record and metrics of another kind than a run writes."""
    evil = "</td><script>alert(1)</script>\"' onload=x $\\frac{$ \x1b[2J \\1 ../../out"
    status, _, err = run("evaluate", SHIPPED, "--tasks", "4", "--splits", "test", "--folder", tmp_path / "m", capsys=capsys)
    assert status == 0, err
    folder = tmp_path / "m"
    path = folder / "evaluation-test.json"
    text = path.read_text(encoding="utf-8")
    data = json.loads(text.replace('"rl2"', json.dumps(evil)))
    other = json.loads(text) | {"split": f"../{evil}", "label": evil, "command": evil, "task_hash": evil}
    path.write_text(json.dumps(data), encoding="utf-8")
    (folder / "evaluation-other.json").write_text(json.dumps(other), encoding="utf-8")
    (folder / "run.json").write_text(
        json.dumps({"algorithm": [1], "training": evil, "versions": {evil: evil}, "command": evil})
    )
    (folder / "metrics.jsonl").write_text(
        '{"update": 1, "steps": 1, "train_return": "x"}\n{"update": 2, "train_return": [[1]]}\n'
    )
    before = set(tmp_path.rglob("*"))
    status, out, err = run("report", folder, "--title", evil, capsys=capsys)
    assert status == 0, err
    page = (folder / "report.html").read_text(encoding="utf-8")
    pictures = [one.read_text(encoding="utf-8") for one in (folder / "pictures").glob("*.svg")]
    for content in (out, page, *pictures):
        assert "\x1b" not in content
    for content in (page, *pictures):  # a terminal runs no HTML
        assert "<script" not in content
    new = set(tmp_path.rglob("*")) - before
    assert all(folder in one.parents for one in new)


def test_results_that_do_not_fit_each_other_are_refused_in_one_line(capsys, tmp_path):
    (tmp_path / "evaluation-test.json").write_text('{"format": 1, "results": []}')
    for content in ("", "[]", "{", '{"format": 2}', '{"format": 1, "results": []}', "[" * 100_000, "\x00" * 100):
        (tmp_path / "evaluation-test.json").write_text(content)
        status, out, err = run("report", tmp_path, capsys=capsys)
        assert (status, err.count("\n")) == (2, 1), content[:20]
        assert "Traceback" not in out + err
