"""Past visitors with known clusters, and the faults of their tables."""

import json
import runpy

import numpy as np
import pytest

from fitting.past_tests import write_table
from quickstudy.fitting import fit_records
from quickstudy.fitting.tasks_file import report_json, tasks_file
from quickstudy.fitting.visitors import read_visitors
from quickstudy.protocol.errors import UsageError

HEADERS = ("visitor", "item", "click")


def drawn_visitors(*, visitors=400, views=40, items=20, clusters=4, strength=3.0, seed=0):
    """Rows of visitors of a few clusters, and the clusters' chances of a click `[clusters, items]`."""
    random, rows = np.random.default_rng(seed), []
    vectors = random.standard_normal((items, 4)) / 2
    centres = random.standard_normal((clusters, 4))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for visitor in range(visitors):
        taste = centres[random.integers(clusters)] + 0.1 * random.standard_normal(4)
        for item in random.integers(items, size=views):
            chance = 1 / (1 + np.exp(-strength * vectors[item] @ taste))
            rows.append((f"v{visitor}", f"i{item}", int(random.random() < chance)))
    return rows, 1 / (1 + np.exp(-strength * centres @ vectors.T))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    rows, truth = drawn_visitors()
    path = write_table(tmp_path_factory.mktemp("records") / "visitors.csv", rows, HEADERS)
    return fit_records(path, kind="recommendation"), truth, read_visitors(path)


def test_clusters_are_found_again(fitted):
    fit, truth, past = fitted
    settings = fit.settings
    assert settings["clusters"] == 4
    assert (settings["items"], settings["steps"], fit.tasks, fit.held_out) == (20, 40, 320, 80)
    centres, vectors = (np.reshape(settings[name], (-1, settings["size"])) for name in ("centres", "vectors"))
    chance = 1 / (1 + np.exp(-settings["base"] - settings["strength"] * centres @ vectors.T))
    order = [int(item[1:]) for item in past.items]
    alike = np.corrcoef(chance, truth[:, order])[:4, 4:]
    assert sorted(alike.argmax(1)) == [0, 1, 2, 3]
    assert alike.max(1).min() > 0.9
    assert np.linalg.norm(centres, axis=1).mean() == pytest.approx(1.0, rel=1e-3)
    assert sum(one.fits for one in fit.matches) >= 3


def test_the_file_holds_centres_and_vectors(fitted, tmp_path, monkeypatch):
    fit, _, past = fitted
    path = tmp_path / "tasks.py"
    path.write_text(tasks_file(fit, path=str(path)), encoding="utf-8")
    passed = {}
    monkeypatch.setattr("quickstudy.tasks.make", lambda name, **settings: passed.update(settings) or name)
    module = runpy.run_path(str(path))
    assert module["make"]() == "recommendation"
    assert set(passed) == set(fit.settings)
    # Otherwise nobody could say which item an action shows.
    assert list(module["ITEM_NAMES"]) == json.loads(report_json(fit))["item_names"] == past.items
    np.testing.assert_allclose(passed["centres"], fit.settings["centres"], rtol=1e-3)
    assert len(passed["vectors"]) == 20 * fit.settings["size"]


GOOD = drawn_visitors(visitors=25, views=8)[0]


@pytest.mark.parametrize("clusters", [0, 21])
def test_a_number_of_clusters_out_of_range_is_refused(clusters, tmp_path):
    path = write_table(tmp_path / "a.csv", GOOD, HEADERS)
    with pytest.raises(UsageError, match=f"clusters must be 1 to 20; came {clusters}"):
        fit_records(path, kind="recommendation", clusters=clusters)


FAULTS = {
    "three rows": (GOOD[:3], HEADERS, "3 rows of 1 visitors and 3 items|3 rows of 1 visitors and 2 items"),
    "stars": ([*GOOD, ("v1", "i1", 5)], HEADERS, "line 202, column click: 5 must be 0 or 1"),
    "all alike": ([(*row[:2], 1) for row in GOOD], HEADERS, "every click is 1"),
    "no header": (GOOD, ("visitor", "thing", "click"), "a header is missing: 'item' or"),
    "a leak": (
        [(*row, GOOD[(place + 1) % 200][2]) for place, row in enumerate(GOOD)],
        (*HEADERS, "later"),
        "column 'later' holds the value of the next row",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_table_are_named(fault, tmp_path):
    rows, headers, said = FAULTS[fault]
    with pytest.raises(UsageError, match=said):
        read_visitors(write_table(tmp_path / "bad.csv", rows, headers))
