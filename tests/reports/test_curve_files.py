"""Learning curves of several runs in one file; no agent has to be trained for it."""

import csv
import xml.etree.ElementTree

import pytest

from evaluation.made_runs import make_run
from quickstudy.cli import main
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.curve_files import write_curves


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path / "one", [[1.0, 2.0], [3.0, 4.5]]), make_run(tmp_path / "two", [[0.5]])]


def test_the_numbers_of_every_seed(runs, tmp_path):
    path = write_curves(runs, to=tmp_path / "curves.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["run", "seed", "steps", "seconds", "held_out_return"],
            ["one", "0", "100", "10.0", "1.0"],
            ["one", "1", "100", "10.0", "2.0"],
            ["one", "0", "200", "20.0", "3.0"],
            ["one", "1", "200", "20.0", "4.5"],
            ["two", "0", "100", "10.0", "0.5"],
        ]


def test_pictures(runs, tmp_path, capsys):
    assert main(["plot", *map(str, runs), "--out", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"Curves: {tmp_path / 'curves.png'}\n"
    assert main(["plot", *map(str, runs), "--out", str(tmp_path / "curves.svg"), "--against", "seconds"]) == 0
    svg = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    xml.etree.ElementTree.fromstring(svg)
    assert ">one<" in svg
    assert "seconds, compiling included" in svg


def test_what_cannot_be_drawn(runs, tmp_path):
    other = make_run(tmp_path / "other", [[1.0]], arms=7)
    with pytest.raises(UsageError, match="different tasks"):
        write_curves([*runs, other], to=tmp_path / "curves.png")
    with pytest.raises(UsageError, match=r"must end in \.png, \.svg or \.csv; came"):
        write_curves(runs, to=tmp_path / "curves.pdf")
    with pytest.raises(UsageError, match="none of these runs has an evaluation yet"):
        write_curves([make_run(tmp_path / "new", [])], to=tmp_path / "curves.csv")
