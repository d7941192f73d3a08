"""The return within a task at several moments of training."""

import re

import numpy as np

from dashboard.made import RUN_WITH_RESULTS, table
from dashboard.test_pages import text_of
from quickstudy.dashboard.moments import MOST, read_moments
from quickstudy.storage.metrics_file import MetricsFile


def test_moments_are_means_over_seeds(runs):
    moments = read_moments(runs / RUN_WITH_RESULTS, "return", ceiling=None)
    assert (moments.trained_steps, moments.steps) == ((100, 200), (1, 10))
    assert moments.values.tolist() == [[2.0, 4.0], [3.0, 8.0]]
    assert (moments.at(0.1), moments.at(0.2)) == ([2.0, 3.0], [4.0, 8.0])
    regret = read_moments(runs / RUN_WITH_RESULTS, "regret", ceiling=10.0)
    np.testing.assert_allclose(regret.values, [[-1.0, 6.0], [-2.0, 2.0]])
    assert read_moments(runs / RUN_WITH_RESULTS, "regret", ceiling=None) is None
    assert read_moments(runs / "first", "return", ceiling=None) is None


def test_lines_that_do_not_fit_are_left_out(tmp_path):
    file = MetricsFile(tmp_path / "within.jsonl")
    sound = {"steps": 5, "points": [1, 2], "return_so_far": [[1.0, 2.0]]}
    damages = (
        {"steps": "x"},
        {"points": [2, 1]},
        {"points": []},
        {"return_so_far": [[1.0]]},
        {"return_so_far": [[1.0, None]]},
        {},
    )
    for update, damage in enumerate(damages, start=1):
        file.append({"update": update} | sound | damage)
    assert read_moments(tmp_path, "return", ceiling=None).values.tolist() == [[1.0, 2.0]]
    for update in range(7, 60):
        file.append({"update": update} | sound | {"steps": update})
    many = read_moments(tmp_path, "return", ceiling=None).trained_steps
    assert len(many) <= MOST
    assert (many[:3], many[-1]) == ((5, 7, 8), 59)


def test_the_page_shows_one_moment_without_a_script(client):
    page = client.get("/adaptation?folder=study/best&split=test&moment=0").text
    assert re.search(r'type="range" min="0" max="1" value="0"', page)
    assert page.count('<svg class="panel') == 2
    assert page.count('<svg class="panel chosen"') == 1
    said = text_of(client.get("/adaptation?folder=study/best&split=test"))
    assert "after 200 steps" in said
    assert re.search(r"100 2 4 4 4 200 3 8 8 8 ", said)
    header, rows = table(client.get("/adaptation/training.csv?folder=study/best&measure=return").text)
    assert header == ["step", "after 100 steps", "after 200 steps"]
    assert rows == [[1, 2, 3], [10, 4, 8]]


def test_a_run_that_trains_shows_its_moments_before_it_is_measured(client, runs):
    MetricsFile(runs / "second" / "within.jsonl").append({"update": 1, "steps": 7, "points": [1], "return_so_far": [[3.0]]})
    said = text_of(client.get("/adaptation?folder=second"))
    assert re.search(
        r"There are no results in \S+/second yet. This command fills the page: quickstudy evaluate \S+/second", said
    )
    assert "after 7 steps" in said
    assert table(client.get("/adaptation/training.csv?folder=second").text)[1] == [[1, 3]]


def test_a_run_without_moments_is_told_how_to_get_them(client):
    assert client.get("/adaptation/training.csv?folder=first").status_code == 400
