"""Past products with a known truth, and the faults of their tables."""

import numpy as np
import pytest

from fitting.past_tests import write_table
from quickstudy.fitting import fit_records
from quickstudy.fitting.prices import read_products
from quickstudy.protocol.errors import UsageError

HEADERS = ("product", "price", "sales", "cost")


def drawn_products(*, products=120, periods=15, seed=0, noise=0.0):
    """Rows of products with iso-elastic demand, each with a cost of its own."""
    random, rows = np.random.default_rng(seed), []
    for number in range(products):
        level, elasticity, cost = np.exp(random.uniform(np.log(5), np.log(80))), random.uniform(0.8, 4), random.uniform(1, 20)
        for _ in range(periods):
            price = random.choice(np.geomspace(1.2, 6, 12))
            rate = level * (price / 7.2**0.5) ** -elasticity * np.exp(noise * random.standard_normal())
            rows.append((f"p{number}", round(price * cost, 8), int(random.poisson(rate)), round(cost, 8)))
    return rows


def test_fitted_numbers_are_near_the_truth(tmp_path):
    fitted = fit_records(write_table(tmp_path / "sales.csv", drawn_products(), HEADERS), kind="pricing")
    found = fitted.fitted
    assert found["level_low"] == pytest.approx(5.0, rel=0.35)
    assert found["level_high"] == pytest.approx(80.0, rel=0.2)
    assert found["elasticity_low"] == pytest.approx(0.8, abs=0.25)
    assert found["elasticity_high"] == pytest.approx(4.0, abs=0.25)
    assert fitted.chosen["periods"] == 15
    assert (fitted.chosen["lowest_price"], fitted.chosen["highest_price"]) == pytest.approx((1.2, 6.0), rel=1e-6)
    assert (fitted.tasks, fitted.held_out) == (96, 24)
    assert sum(one.fits for one in fitted.matches) >= 4


@pytest.mark.slow
def test_sales_that_vary_more_than_poisson_are_seen_by_the_checks(tmp_path):
    fitted = fit_records(write_table(tmp_path / "sales.csv", drawn_products(noise=0.8), HEADERS), kind="pricing")
    assert fitted.matches[-1].name == "variance of sales by their mean"
    assert not fitted.matches[-1].fits


GOOD = drawn_products(products=10, periods=6)
FLAT = [(product, 5.0, sales, 1.0) for product, _, sales, _ in GOOD]
DATED = [(*row, f"2026-03-{1 + place % 6:02}") for place, row in enumerate(GOOD)]
FAULTS = {
    "three rows": (GOOD[:3], HEADERS, "3 rows of 1 products, of which 0 have 4 periods, two prices and a sale"),
    "one price": (FLAT, HEADERS, "60 rows of 10 products, of which 0 have"),
    "no cost": ([row[:3] for row in GOOD], HEADERS[:3], "a header is missing: 'cost' or 'unit_cost'"),
    "free": ([*GOOD, ("p1", 0, 3, 1)], HEADERS, "line 62, column price: 0 must be above 0"),
    "a loss": ([*GOOD, ("p1", 2, 3, 2.5)], HEADERS, "line 62: the price 2 is not above the cost 2.5"),
    "twice": ([*DATED, DATED[7]], (*HEADERS, "week"), "lines 9 and 62 are rows of the same thing"),
    "a leak": (
        [(*row, GOOD[(place + 1) % 60][2]) for place, row in enumerate(GOOD)],
        (*HEADERS, "Sales next week"),
        "column 'Sales next week' holds the value of the next row in 100% of the rows",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_table_are_named(fault, tmp_path):
    rows, headers, said = FAULTS[fault]
    with pytest.raises(UsageError, match=said):
        read_products(write_table(tmp_path / "bad.csv", rows, headers))


def test_prices_and_sales_of_any_size_are_fitted(tmp_path):
    rows = [(product, price * 1e60, sales * 10**12, cost) for product, price, sales, cost in GOOD]
    found = fit_records(write_table(tmp_path / "sales.csv", rows, HEADERS), kind="pricing").fitted
    usual = fit_records(write_table(tmp_path / "sales.csv", GOOD, HEADERS), kind="pricing").fitted
    assert found["level_high"] == pytest.approx(1e12 * usual["level_high"], rel=0.7)
    assert found["elasticity_high"] == pytest.approx(usual["elasticity_high"], abs=1.0)


def test_products_that_say_nothing_are_left_out_and_counted(tmp_path):
    rows = [*GOOD, *[("one price", 5.0, 3, 1.0)] * 8]
    fitted = fit_records(write_table(tmp_path / "sales.csv", rows, HEADERS), kind="pricing")
    assert "1 products with too few periods, one price or no sale were left out." in fitted.notes
