"""Past tests with a known truth: fitted numbers are near it, checks tell a right fit from a wrong one, faults are named."""

import dataclasses
import json
import runpy

import numpy as np
import pytest

from fitting.past_tests import HEADERS, drawn_rows, write_table
from quickstudy import cli, tasks
from quickstudy.fitting import fit_records
from quickstudy.fitting.ab_tests import MOST_ARMS, TASK_RATES, check_fit, read_tests
from quickstudy.fitting.tables import Table
from quickstudy.fitting.tasks_file import tasks_file
from quickstudy.numerics.empirical_bayes import BetaFit, LiftFit
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.reports.fit_chart import fit_picture
from quickstudy.tasks.decisions.ab_test import RATES


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("records") / "tests.csv", drawn_rows(tests=500))


@pytest.fixture(scope="module")
def fitted(table):
    return fit_records(table, kind="ab-test")


def test_fitted_numbers_are_near_the_truth(fitted):
    found = fitted.fitted
    assert found["base_rate_alpha"] == pytest.approx(2.0, rel=0.2)
    assert found["base_rate_alpha"] / sum(found[name] for name in ("base_rate_alpha", "base_rate_beta")) == pytest.approx(
        0.05, rel=0.1
    )
    assert found["lift_deviation"] == pytest.approx(0.15, rel=0.15)
    assert found["null_share"] == pytest.approx(0.6, abs=0.1)
    low, high = fitted.intervals["lift_deviation"]
    assert low < 0.15 < high
    assert (fitted.rows, fitted.tasks, fitted.held_out) == (1000, 400, 100)
    assert fitted.chosen["arms"] == 2
    assert fitted.chosen["users_per_look"] == pytest.approx(500, rel=0.1)
    assert fitted.chosen["horizon_users"] == 11 * 2 * 40 * fitted.chosen["users_per_look"]


def test_simulated_tables_match_real_ones_and_a_wrong_prior_is_seen(fitted, table):
    assert sum(one.fits for one in fitted.matches) >= 4
    wide = LiftFit(deviation=0.5, null_share=0.0, deviation_interval=(0, 1), null_share_interval=(0, 1), log_likelihood=0.0)
    rare = BetaFit(alpha=20.0, beta=4000.0, log_likelihood=0.0)
    matches, _ = check_fit(read_tests(table), rare, wide, seed=0, tables=60)
    assert not [one.name for one in matches[:4] if one.fits]


def test_tests_that_are_held_out_have_no_part_in_the_fit(tmp_path):
    rows = drawn_rows(tests=40)
    first = fit_records(write_table(tmp_path / "a.csv", rows), kind="ab-test")
    everyone = fit_records(tmp_path / "a.csv", kind="ab-test", held_out=0.0)
    assert (first.tasks, first.held_out, everyone.tasks, everyone.held_out) == (32, 8, 40, 0)
    assert first.fitted != everyone.fitted
    with pytest.raises(UsageError, match="a share between 0 and"):
        fit_records(tmp_path / "a.csv", kind="ab-test", held_out=0.9)
    with pytest.raises(UnknownNameError, match="unknown kind of records 'tests'"):
        fit_records(tmp_path / "a.csv", kind="tests")


def test_frames_are_read_as_files_are(tmp_path):
    rows = drawn_rows(tests=12, arms=3)

    class OfPolars:
        columns = HEADERS

        def iter_rows(self):
            return iter(rows)

    class OfPandas:
        columns = HEADERS

        def itertuples(self, *, index, name):
            assert not index
            assert name is None
            return iter([(test, arm, np.int64(users), float(paid)) for test, arm, users, paid in rows])

    from_file = read_tests(write_table(tmp_path / "a.csv", rows))
    assert read_tests(OfPolars()) == read_tests(OfPandas()) == from_file
    assert from_file.arms[0] == ["control", "new1", "new2"]
    assert len(from_file.pairs[0]) == 24
    with pytest.raises(UsageError, match="a CSV file, or a frame of pandas or polars; came list"):
        Table([1, 2])


def test_days_are_added_up_and_give_the_looks(tmp_path):
    rows = [(test, arm, f"2026-03-{day:02}", users // 10, paid // 10) for test, arm, users, paid in drawn_rows(tests=10)
            for day in range(1, 15)]  # fmt: skip
    headers = ("experiment", "variant", "Date", "visitors", "conversions")
    fitted = fit_records(write_table(tmp_path / "a.csv", rows, headers), kind="ab-test", horizon_users=10**6)
    assert fitted.chosen["looks"] == 14
    assert fitted.chosen["horizon_users"] == 10**6
    gap = [row for row in rows if not (row[0] == "t3" and row[2] in ("2026-03-04", "2026-03-05"))]
    said = "test 't3' lacks 2 days between 2026-03-01 and 2026-03-14: 2026-03-04, 2026-03-05"
    with pytest.raises(UsageError, match=said) as raised:
        fit_records(write_table(tmp_path / "b.csv", gap, headers), kind="ab-test")
    assert "--missing-days;" in str(raised.value)  # the flag has no value
    assert fit_records(tmp_path / "b.csv", kind="ab-test", missing_days=True).rows == 276


GOOD = drawn_rows(tests=10, users=1000)
DATED = [(test, arm, users, paid, "2026-03-01T00:00+01:00") for test, arm, users, paid in GOOD]
FAULTS = {
    "no header": ([row[1:] for row in GOOD], HEADERS[1:], "a header is missing: 'test' or 'experiment'"),
    "other headers": (GOOD, ("a", "b", "c", "d"), "a header is missing"),
    "a header twice": (GOOD, ("test", "arm", "users", "users"), "the header 'users' stands there twice"),
    "three rows": (GOOD[:3], HEADERS, "3 rows of 2 tests; a distribution of tests needs 8 tests or more"),
    "no rows": ([], HEADERS, "0 rows of 0 tests"),
    "no number": ([*GOOD, ("t9", "x", "many", 3)], HEADERS, "line 22, column users: 'many' is no number"),
    "a fraction": ([*GOOD, ("t9", "x", 10.5, 3)], HEADERS, "line 22, column users: '10.5' must be a whole number"),
    "below zero": ([*GOOD, ("t9", "x", -10, 3)], HEADERS, "must be a whole number of 0 or more"),
    "infinite": ([*GOOD, ("t9", "x", "inf", 3)], HEADERS, "is not finite"),
    "empty": ([*GOOD, ("t9", " ", 10, 3)], HEADERS, "line 22, column arm: the cell is empty"),
    "NaN": ([*GOOD, ("t9", "x", "NaN", 3)], HEADERS, "line 22, column users: the cell is empty"),
    "too many": ([*GOOD, ("t9", "x", 10, 30)], HEADERS, "line 22: 30 conversions of 10 users"),
    "too long": ([*GOOD, ("t9", "x", 10, 3, 4)], HEADERS, "line 22: the row has 5 cells and the table 4 headers"),
    "twice": ([*GOOD, GOOD[4]], HEADERS, r"lines 6 and 22 are rows of the same thing \(t2, control\)"),
    "one arm": ([*GOOD, ("t10", "x", 10, 3)], HEADERS, "test 't10' has one arm only"),
    "no users": ([*GOOD, ("t9", "x", 0, 0)], HEADERS, "arm 'x' of test 't9' has no users"),
    "no conversion": ([(*row[:3], 0) for row in GOOD], HEADERS, "no user converted in any test"),
    "all converted": ([(*row[:3], row[2]) for row in GOOD], HEADERS, "every user converted in any test"),
    "zones": (
        [*DATED, ("t9", "x", 10, 3, "2026-03-01T00:00")],
        (*HEADERS, "day"),
        r"time zones are mixed: line 2 has UTC\+01:00 and line 22 none",
    ),
    "no day": ([*DATED, ("t9", "x", 10, 3, "31/03/2026")], (*HEADERS, "day"), "line 22, column day: '31/03/2026' is no day"),
}


def test_fewer_users_in_all_than_in_a_test_are_refused(tmp_path):
    path = write_table(tmp_path / "a.csv", GOOD)
    with pytest.raises(UsageError, match=r"horizon_users must be at least the [0-9,]+ users of a usual test .* came 100\."):
        fit_records(path, kind="ab-test", horizon_users=100)


def test_the_checks_simulate_the_rates_that_the_tasks_have(tmp_path):
    assert (TASK_RATES, MOST_ARMS) == (RATES, 12)
    rows = [(test, arm, users, int(0.7 * users + 0.1 * paid)) for test, arm, users, paid in drawn_rows(tests=40)]
    fitted = fit_records(write_table(tmp_path / "a.csv", rows), kind="ab-test")
    assert fitted.matches[0].name == "median conversion rate of the control"
    assert fitted.matches[0].high <= 0.52
    assert not fitted.matches[0].fits
    assert any(note.startswith("100 % of the controls convert at rates outside of 0.002 to 0.5") for note in fitted.notes)


def test_one_day_of_each_test_is_its_date_and_no_look(tmp_path):
    rows = [(*row, f"2026-03-{1 + place // 2:02}") for place, row in enumerate(drawn_rows(tests=10))]
    fitted = fit_records(write_table(tmp_path / "a.csv", rows, (*HEADERS, "date")), kind="ab-test")
    assert fitted.chosen["looks"] == 40
    assert "The table has one day for each test, so a test is taken as 40 looks." in fitted.notes


def test_tests_that_are_too_large_for_the_grid_are_said(tmp_path):
    large = fit_records(write_table(tmp_path / "a.csv", drawn_rows(tests=10, users=10**7)), kind="ab-test")
    assert any("less than 0.01, the step of the estimate" in note for note in large.notes)
    usual = fit_records(write_table(tmp_path / "a.csv", drawn_rows(tests=10)), kind="ab-test")
    assert not any("the step of the estimate" in note for note in usual.notes)


def test_more_arms_than_the_tasks_have_are_said(tmp_path):
    fitted = fit_records(write_table(tmp_path / "a.csv", drawn_rows(tests=8, arms=14)), kind="ab-test")
    assert fitted.chosen["arms"] == 12
    assert "Some tests have more than 12 arms, the most that the tasks have." in fitted.notes


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_table_are_named(fault, tmp_path):
    rows, headers, said = FAULTS[fault]
    with pytest.raises(UsageError, match=said):
        fit_records(write_table(tmp_path / "bad.csv", rows, headers), kind="ab-test")


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        Table(tmp_path / "nothing.csv")
    (tmp_path / "latin.csv").write_bytes("test,arm,users,conversions\nt\xe9,a,1,1\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_tests(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is empty\. Name a CSV file with a line of headers"):
        read_tests(tmp_path / "empty.csv")
    write_table(tmp_path / "good.csv", GOOD)
    with pytest.raises(UsageError, match="test 't0' has no arm 'old'; it has control, new1"):
        read_tests(tmp_path / "good.csv", control="old")
    assert read_tests(tmp_path / "good.csv", control="new1").arms[0] == ["new1", "control"]


def test_the_file_holds_the_settings_and_passes_them_on(fitted, tmp_path, monkeypatch):
    path = tmp_path / "tasks.py"
    path.write_text(tasks_file(fitted, path=str(path)), encoding="utf-8")
    made = runpy.run_path(str(path))["make"]
    passed = {}
    monkeypatch.setattr("quickstudy.tasks.make", lambda name, **settings: passed.update(settings) or name)
    assert made(looks=20) == "ab-test"
    assert passed == pytest.approx({**fitted.settings, "looks": 20}, rel=1e-5)


@pytest.mark.slow
def test_the_fitted_tasks_are_made(fitted):
    made = tasks.make("ab-test", **fitted.settings)
    assert made.spec.horizon == fitted.chosen["looks"]
    assert made.config["lift_deviation"] == fitted.fitted["lift_deviation"]


def test_the_command_writes_four_files(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.main(["fit", str(table), "--as", "ab-test", "--out", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert "fitted to 400 tasks, 100 held out" in said
    assert "Users after a test are not in the table" in said
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert files == {"tasks.py", "fit.json", "fit.svg", "fit.png"}
    stored = json.loads((tmp_path / "mine" / "fit.json").read_text(encoding="utf-8"))
    assert stored["fitted"]["null_share"] == pytest.approx(0.6, abs=0.1)
    assert cli.main(["fit", str(table), "--as", "tests", "--out", str(tmp_path / "mine")]) == 2
    assert "unknown kind of records 'tests'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_picture_names_what_was_held_out(fitted):
    assert "100 tasks that nothing was fitted to" in fit_picture(fitted).caption
    assert "the tasks of the fit" in fit_picture(dataclasses.replace(fitted, held_out=0)).caption
