"""Tasks of an evaluation: the map over two parameters, and the lifetime on one of the worst ones."""

import dataclasses
import html
import re

import numpy as np
import pytest
from PIL import Image

from dashboard.made import LEVELS, RUN_WITH_RESULTS, TABLE, table
from dashboard.test_pages import text_of
from quickstudy.dashboard.drawings import binned_tasks, task_map
from reports.made_evaluation import made
from reports.made_lifetime import LIFETIME

FAR = "folder=study/best&split=ood-far"


def test_bins_hold_means_by_hand():
    few = binned_tasks(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]), np.array([2.0, 4.0, 9.0]), most=4)
    assert few.edges[0].tolist() == [0.5, 1.5, 2.5]
    assert few.edges[1].tolist() == [4.5, 5.5]
    assert (few.means.tolist(), few.counts.tolist()) == ([[3.0], [9.0]], [[2], [1]])
    wide = binned_tasks(np.arange(11.0), np.arange(11.0), np.arange(11.0), most=2)
    assert wide.edges[0].tolist() == [0.0, 5.0, 10.0]
    np.testing.assert_allclose(wide.means, [[2.0, np.nan], [np.nan, 7.5]])


def test_a_map_has_names_as_text_and_a_frame_where_the_range_is_known():
    bins = binned_tasks(np.arange(3.0), np.arange(3.0), np.ones(3), most=4)
    framed = task_map(bins, names=("<b>a</b>", "b (m)"), measure="return", ranges=((0.0, 1.0), (0.0, 1.0)))
    assert "<b>a</b>" not in framed
    assert framed.count('class="training"') == 1
    assert 'class="training"' not in task_map(bins, names=("a", "b"), measure="return", ranges=((0.0, 1.0), None))


def test_the_map_of_a_split_and_its_file(client):
    page = client.get("/generalisation?folder=study/best&on=ood-far&across=mass (kg)&up=length (m)")
    assert "The dashed frame is the range of training tasks." in text_of(page)
    assert page.text.count("<title>mass (kg)") == 3
    (address,) = re.findall(r'href="(/generalisation/map.csv[^"]+)"', page.text)
    header, rows = table(client.get(html.unescape(address)).text)
    assert header == [
        "mass (kg) from",
        "mass (kg) to",
        "length (m) from",
        "length (m) to",
        "tasks",
        "mean return (reward units)",
    ]
    assert rows == [[0.5, 1.5, -0.75, 1.75, 2, 4], [1.5, 2.5, -0.75, 1.75, 1, 1], [1.5, 2.5, 1.75, 4.25, 1, 2]]
    other = client.get("/generalisation?folder=study/best&on=ood-far&across=friction&up=friction").text
    assert "<option selected>mass (kg)</option>" in other  # two axes show two parameters


def test_a_worst_task_is_one_click_from_its_lifetime(client, runs):
    page = client.get("/generalisation?folder=study/best")
    assert re.search(r"2 1 random 2 -1 3 2 random 0 2 0 3 random 1 2 1 5 random 1 4", text_of(page))
    (address,) = re.findall(r'href="(/generalisation/lifetime\?[^"]+)"', page.text)
    lifetime = client.get(html.unescape(address))
    said = text_of(lifetime)
    assert "Task 2 of ood:far" in said
    assert "quickstudy video" in said
    assert re.search(r"--split ood:far --task 2 --tasks 4 --seed 0 --folder \S+/study/best/videos/ood-far-2", said)
    charts = re.findall(r'data-csv="([^"]+)"', lifetime.text)
    assert [html.unescape(chart).rpartition("&part=")[2] for chart in charts] == ["return", "actions", "task"]
    for chart in charts:
        assert len(client.get(html.unescape(chart)).text.splitlines()) > 1, chart
    header, rows = table(client.get(f"/generalisation/lifetime.csv?{FAR}&task=2").text)
    assert header[:2] == ["step", "episode"]
    assert [row[0] for row in rows] == [slot + 1 for slot in LIFETIME.slots]
    assert [row[-1] for row in rows] == pytest.approx(np.cumsum(LIFETIME.rewards), rel=1e-5)
    path = runs / RUN_WITH_RESULTS / "videos" / "ood-far-2"
    path.mkdir(parents=True)
    Image.new("RGB", (20, 10)).save(path / "adaptation.png")
    assert 'class="strip"' in client.get(html.unescape(address)).text
    assert client.get(f"/generalisation/strip.png?{FAR}&task=2").headers["content-type"] == "image/png"


def test_a_table_of_another_agent_is_not_shown(empty, tmp_path):
    folder = tmp_path / "runs" / "old"
    made(LEVELS, split="ood:far").save(folder)
    dataclasses.replace(TABLE, returns={"maml": TABLE.returns["rl2"]}).save(folder)
    said = text_of(empty.get("/generalisation?folder=old"))
    assert "These results do not hold the parameters of their tasks." in said
    assert empty.get("/generalisation/map.csv?folder=old&split=ood-far").status_code == 400


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (f"/generalisation/lifetime?{FAR}&task=7", "--splits ood:far"),
        (f"/generalisation/lifetime?{FAR}&task=../2", "No lifetime on task"),
        ("/generalisation/lifetime?folder=..&split=test&task=2", "Choose a folder that the page lists"),
        ("/generalisation/map.csv?folder=study/best&split=test", "quickstudy evaluate RUN"),
        (f"/generalisation/lifetime.csv?{FAR}&task=2&part=none", "holds no belief"),
    ],
)
def test_what_is_not_there_is_said(client, page, said):
    answer = client.get(page)
    assert answer.status_code == 400
    assert said in answer.text
