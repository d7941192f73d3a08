"""Past series with a known truth, and the faults of their tables."""

import datetime

import numpy as np
import pytest

from fitting.past_tests import write_table
from quickstudy.fitting import fit_records
from quickstudy.fitting.series import read_series, standardised
from quickstudy.protocol.errors import UsageError

HEADERS = ("series", "value")


def drawn_series(*, series=40, steps=120, hazard=0.025, size=3.0, seed=0):
    """Rows of series with shifts, each in units of its own."""
    random, rows = np.random.default_rng(seed), []
    for number in range(series):
        level, centre, unit = size * random.standard_normal(), random.uniform(50, 100), random.uniform(1, 5)
        for _ in range(steps):
            if random.random() < hazard:
                level = size * random.standard_normal()
            rows.append((f"s{number}", round(centre + unit * (level + random.standard_normal()), 6)))
    return rows


@pytest.mark.slow
def test_fitted_numbers_are_near_the_truth(tmp_path):
    fitted = fit_records(write_table(tmp_path / "series.csv", drawn_series(), HEADERS), kind="forecasting")
    assert fitted.fitted["hazard"] == pytest.approx(0.025, rel=0.35)
    assert fitted.fitted["size"] == pytest.approx(3.0, rel=0.2)
    assert (fitted.tasks, fitted.held_out, fitted.rows) == (32, 8, 4800)
    assert fitted.settings["kind"] == "shifts"
    assert sum(one.fits for one in fitted.matches) >= 2


@pytest.mark.slow
def test_series_of_another_kind_are_seen_by_the_checks(tmp_path):
    random = np.random.default_rng(0)
    walks = random.standard_normal((12, 100)).cumsum(1)  # neighbouring changes of a random walk are not correlated
    rows = [(f"s{number}", value) for number, walk in enumerate(walks.tolist()) for value in walk]
    fitted = fit_records(write_table(tmp_path / "series.csv", rows, HEADERS), kind="forecasting")
    correlation = fitted.matches[2]
    assert not correlation.fits
    assert correlation.real > -0.2
    assert any("NO" in note for note in fitted.notes)


GOOD = [(f"s{number}", step % 7 + number) for number in range(6) for step in range(40)]
DAYS = [(series, value, f"2026-{1 + step // 28:02}-{1 + step % 28:02}") for step, (series, value) in enumerate(GOOD[:40])]
LEAKING = [(series, value, GOOD[(place + 1) % len(GOOD)][1]) for place, (series, value) in enumerate(GOOD)]
FAULTS = {
    "three rows": (GOOD[:3], HEADERS, "3 rows, and 0 series with 30 values or more"),
    "no header": (GOOD, ("series", "x"), "a header is missing: 'value' or 'y'"),
    "no number": ([*GOOD, ("s0", "high")], HEADERS, "line 242, column value: 'high' is no number"),
    "a leak": (LEAKING, (*HEADERS, "next"), "column 'next' holds the value of the next row in 100% of the rows"),
    "flat": ([*GOOD, *[("flat", 1.0)] * 40], HEADERS, "most neighbours in series 'flat' are equal"),
    "days twice": (
        [*DAYS, DAYS[-1]],
        (*HEADERS, "day"),
        "line 42: series 's0' has the day 2026-02-12 twice. .* less than a day",
    ),
    "back in time": ([*DAYS, DAYS[0]], (*HEADERS, "day"), "line 42: series 's0' goes back in time to 2026-01-01"),
    "a gap": ([*DAYS[:9], *DAYS[12:28]], (*HEADERS, "day"), "series 's0' lacks 3 days between 2026-01-01 and 2026-01-28"),
}


def test_a_gap_between_weeks_is_seen(tmp_path):
    weeks = [(series, value, datetime.date(2026, 1, 5) + datetime.timedelta(7 * (place % 40))) for place, (series, value)
             in enumerate(GOOD)]  # fmt: skip
    path = write_table(tmp_path / "weeks.csv", weeks, (*HEADERS, "day"))
    assert read_series(path).rows == 240
    write_table(path, weeks[:50] + weeks[52:], (*HEADERS, "day"))
    said = "series 's1' has no value between 2026-03-09 and 2026-03-30, and usually one every 7 days"
    with pytest.raises(UsageError, match=said) as raised:
        read_series(path)
    assert "--missing-days;" in str(raised.value)  # the flag has no value
    assert read_series(path, missing_days=True).rows == 238


def test_short_series_are_counted_and_a_row_number_is_no_series(tmp_path):
    rows = [(place, *row) for place, row in enumerate([*GOOD, ("short", 1.0), ("short", 2.0)])]
    past = read_series(write_table(tmp_path / "a.csv", rows, ("id", "item", "sales")))
    assert (len(past.values), past.series, past.rows) == (6, 7, 242)


def test_the_noise_is_that_of_the_newest_values():
    random = np.random.default_rng(0)
    grown = np.concatenate([random.standard_normal(600), 50 * random.standard_normal(300)])
    assert np.std(standardised([grown])) == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_table_are_named(fault, tmp_path):
    rows, headers, said = FAULTS[fault]
    with pytest.raises(UsageError, match=said):
        read_series(write_table(tmp_path / "bad.csv", rows, headers))


def test_a_gap_may_be_allowed_and_months_have_none(tmp_path):
    months = [(f"s{number}", value, f"{2020 + step // 12}-{1 + step % 12:02}-01") for number in range(6)
              for step, value in enumerate(np.arange(40) % 7)]  # fmt: skip
    assert read_series(write_table(tmp_path / "months.csv", months, (*HEADERS, "date"))).rows == 240
    days = [(f"s{number}", value, day) for number in range(6) for _, value, day in [*DAYS[:9], *DAYS[12:28], *DAYS[28:]]]
    found = read_series(write_table(tmp_path / "gap.csv", days, (*HEADERS, "day")), missing_days=True)
    assert len(found.values) == 6
