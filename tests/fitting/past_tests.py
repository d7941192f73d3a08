"""Tables of past A/B tests that are drawn from a known prior."""

import csv

import numpy as np

HEADERS = ("test", "arm", "users", "conversions")


def drawn_rows(*, tests, seed=0, arms=2, users=20_000, alpha=2.0, beta=38.0, deviation=0.15, nulls=0.6):
    """Rows of tests, the control first."""
    random, rows = np.random.default_rng(seed), []
    for test in range(tests):
        rate = np.clip(random.beta(alpha, beta), 0.002, 0.5)
        odds, each = np.log(rate / (1 - rate)), int(users * random.uniform(0.5, 1.5))
        for arm in range(arms):
            lift = 0.0 if arm == 0 or random.random() < nulls else deviation * random.standard_normal()
            converted = int(random.binomial(each, 1 / (1 + np.exp(-odds - lift))))
            rows.append((f"t{test}", "control" if arm == 0 else f"new{arm}", each, converted))
    return rows


def write_table(path, rows, headers=HEADERS):
    """A CSV file, and its path."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headers)
        writer.writerows(rows)
    return path
