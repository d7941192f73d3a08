"""`quickstudy doctor`: one line for everything that was looked at, and the exit status."""

from quickstudy.cli import main
from quickstudy.storage.installation import Finding


def test_lines_and_status(monkeypatch, capsys):
    found = [Finding("ok", "python", "3.11"), Finding("missing", "extra ray", "collectors: ray not installed", "pip install r")]
    monkeypatch.setattr("quickstudy.cli.doctor.findings", lambda: found)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       python     3.11",
        "missing  extra ray  collectors: ray not installed. Fix: pip install r",
        "Everything that every user needs is there. Extras that are not installed: 1.",
    ]


def test_a_missing_part_that_every_user_needs(monkeypatch, capsys):
    monkeypatch.setattr("quickstudy.cli.doctor.findings", lambda: [Finding("fault", "numpy", "not installed", "pip install n")])
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "fault    numpy  not installed. Fix: pip install n\n"
    assert shown.err == "quickstudy: 1 part that every user needs failed. Do what the lines `fault` say.\n"


def test_it_takes_no_words(capsys):
    assert main(["doctor", "bundle"]) == 2
    assert "'bundle' is not understood here" in capsys.readouterr().err
