"""`quickstudy fit`, a run for each kind of records: what it prints, and that the file which it writes makes tasks."""

import json

import numpy as np
import pytest

from fitting.past_tests import HEADERS, drawn_rows, write_table
from fitting.test_prices import drawn_products
from fitting.test_series import drawn_series
from fitting.test_visitors import drawn_visitors
from quickstudy import cli, tasks
from quickstudy.fitting import KINDS

TABLES = {
    "ab-test": (drawn_rows(tests=9), HEADERS),
    "forecasting": (drawn_series(series=6, steps=32), ("series", "value")),
    "pricing": (drawn_products(products=9, periods=5), ("product", "price", "sales", "cost")),
    "recommendation": (drawn_visitors(visitors=24, views=6, items=6)[0], ("visitor", "item", "click")),
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    monkeypatch.setenv("COLUMNS", "140")


def test_a_folder_that_is_a_file_is_refused_with_the_flag_of_this_command(tmp_path, capsys):
    path = write_table(tmp_path / "records.csv", drawn_rows(tests=9))
    assert cli.main(["fit", str(path), "--out", str(path)]) == 2
    assert "is not a folder. Name another with --out." in capsys.readouterr().err


def test_the_remedy_for_days_that_are_missing_works_as_it_is_printed(tmp_path, capsys):
    days = [(test, arm, f"2026-03-{day:02}", 1000, 50 + day) for test in range(9) for arm in "ab" for day in (1, 2, 4)]
    path = write_table(tmp_path / "gaps.csv", days, ("test", "arm", "day", "users", "conversions"))
    command = ["fit", str(path), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    remedy = capsys.readouterr().err.partition("allow gaps with ")[2].partition(";")[0]
    assert cli.main([*command, *remedy.split()]) == 0
    assert cli.main([*command, "--control", "True", "--missing-days", "True"]) == 2
    assert "--missing-days takes no value; --no-missing-days switches it off." in capsys.readouterr().err


def test_a_flag_of_another_kind_names_that_kind(tmp_path, capsys):
    path = write_table(tmp_path / "records.csv", drawn_rows(tests=9))
    assert cli.main(["fit", str(path), "--clusters", "3", "--out", str(tmp_path)]) == 2
    assert "no flag of --as ab-test, but of --as recommendation. Leave --clusters out." in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_prints_its_settings_and_writes_a_file_that_makes_tasks(kind, tmp_path, capsys):
    rows, headers = TABLES[kind]
    path = write_table(tmp_path / "records.csv", [(*row, "a word") for row in rows], (*headers, "comment"))
    assert cli.main(["fit", str(path), "--as", kind, "--out", str(tmp_path / "it's mine")]) == 0
    said = capsys.readouterr().out
    stored = json.loads((tmp_path / "it's mine" / "fit.json").read_text(encoding="utf-8"))
    for name in {**stored["fitted"], **stored["chosen"]}:
        assert f"│ {name} " in said
    assert "Not read: comment." in said
    assert tasks.make(str(tmp_path / "it's mine" / "tasks.py:make")).spec.lifetime_steps >= 2
    assert np.isfinite([one["real"] for one in stored["matches"]]).all()
