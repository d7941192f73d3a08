"""What trackers are given of a run: every point once, also where a run is followed, cut off or goes on."""

import math
import sys
import threading

import pytest

from adapters.memory_tracker import Memory
from evaluation.made_runs import make_run
from quickstudy.adapters.trackers import TRACKERS, track, tracking
from quickstudy.adapters.trackers.tracked_run import points_of, seeds_of
from quickstudy.cli import main
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.folder_lock import FolderLock
from quickstudy.storage.metrics_file import MetricsFile
from reports.made_evaluation import made

RETURNS = [[1.0, 3.0], [2.0, 6.0], [4.0, 4.0]]


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setitem(TRACKERS, "memory", "adapters.memory_tracker:Memory")
    monkeypatch.setitem(tracking._ADDRESSES, "memory", "here")
    monkeypatch.setattr(tracking, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(Memory, "held", {})
    monkeypatch.setattr(Memory, "closed", 0)
    return Memory


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "runs" / "one", RETURNS)


def curve(series, *, name="one", measure="held_out_return"):
    return [(point.step, point.values[measure]) for point in Memory.held["here", name].get(series, [])]


def add(run, update, returns):
    line = {"update": update, "steps": 100 * update, "seconds": 10.0 * update, "held_out_return": returns}
    MetricsFile(run / "metrics.jsonl").append(line)


def test_each_seed_is_a_series_and_so_is_their_mean(run):
    done = track(run, to="memory")
    assert (done.points, done.series, done.where) == (9, ("mean", "seed-0", "seed-1"), "here")
    assert curve("seed-0") == [(100, 1.0), (200, 2.0), (300, 4.0)]
    assert curve("seed-1") == [(100, 3.0), (200, 6.0), (300, 4.0)]
    assert curve("mean") == [(100, 2.0), (200, 4.0), (300, 4.0)]
    assert curve("seed-1", measure="seconds") == [(100, 10.0), (200, 20.0), (300, 30.0)]
    assert Memory.closed == 1


def test_numbers_that_are_not_finite_are_left_out():
    line = {"update": 1, "steps": 50, "seconds": 2.0, "loss": [0.5, math.nan], "kl": [math.inf, 1.0], "trouble": "disk"}
    assert seeds_of(line) == 2
    found = points_of([line, {"update": 2, "loss": [1.0, 1.0]}], seeds=2)
    shared = {"update": 1.0, "seconds": 2.0}
    assert [point.values for point in found["seed-0"]] == [shared | {"loss": 0.5}]
    assert [point.values for point in found["seed-1"]] == [shared | {"kl": 1.0}]
    assert [point.values for point in found["mean"]] == [shared]


@pytest.mark.parametrize("line", [{"update": 1}, {"update": 1, "loss": [1.0], "kl": [1.0, 2.0]}, {"update": 1, "loss": []}])
def test_lines_without_a_number_for_each_seed_are_refused(line):
    with pytest.raises(UsageError, match="one number for each seed"):
        seeds_of(line)


def test_a_second_call_adds_what_is_new_and_nothing_else(run):
    track(run, to="memory")
    assert track(run, to="memory").points == 0
    add(run, 4, [5.0, 7.0])
    assert track(run, to="memory").points == 3
    assert curve("mean")[2:] == [(300, 4.0), (400, 6.0)]


@pytest.mark.parametrize("points", range(0, 9, 2))
def test_a_call_that_was_cut_off_goes_on_where_the_points_end(run, points, monkeypatch):
    track(run, to="memory", name="whole")
    count = sum(map(len, Memory.held["here", "whole"].values()))
    monkeypatch.setattr(Memory, "held", {"kept": {}} | Memory.held)
    monkeypatch.setattr(Memory, "stop_after", points)
    with pytest.raises(KeyboardInterrupt):
        track(run, to="memory")
    assert Memory.closed == 2
    monkeypatch.setattr(Memory, "stop_after", None)
    assert track(run, to="memory").points == count - points
    assert Memory.held["here", "one"] == Memory.held["here", "whole"]


def test_evaluations_are_series_of_one_point(run):
    evaluation = made({"rl2": 0.85, "random": 0.2})
    evaluation.save(run)
    assert track(run, to="memory").series == ("evaluation-test", "mean", "seed-0", "seed-1")
    (point,) = Memory.held["here", "one"]["evaluation-test"]
    assert (point.step, point.seconds) == (300, 30.0)
    stored = type(evaluation).load(run / "evaluation-test.json").results["random"].lifetime_return
    assert point.values["lifetime_return/random"] == stored.value
    assert point.values["lifetime_return_low/random"] == stored.low
    assert track(run, to="memory").points == 0


def test_a_run_is_followed_until_its_process_ends(run):
    lock = FolderLock.take(run)
    made({"rl2": 0.85, "random": 0.2}).save(run)
    begun, done = threading.Event(), []
    asked = {"to": "memory", "follow": True, "begins": lambda tracker: begun.set()}
    following = threading.Thread(target=lambda: done.append(track(run, **asked)))
    following.start()
    assert begun.wait(30)
    add(run, 4, [5.0, 7.0])
    add(run, 5, [6.0, 8.0])
    following.join(0.2)
    assert following.is_alive()
    assert track(run, to="memory", name="not followed").series == ("mean", "seed-0", "seed-1")  # it may still change
    lock.release()
    following.join(30)
    assert not following.is_alive()
    assert done[0].points == 5 * 3 + 1
    assert curve("mean")[-2:] == [(400, 6.0), (500, 7.0)]


def test_what_holds_no_run_or_has_no_name_is_refused(run, tmp_path):
    for folder, said in ((tmp_path / "gone", "there is no folder"), (tmp_path, "has no run.json")):
        with pytest.raises(UsageError, match=said):
            track(folder, to="memory")
    with pytest.raises(UnknownNameError, match="Did you mean 'tensorboard'"):
        track(run, to="tensorbord")
    for name in ("", "..", "a/../b", "a//b", "x" * 121, "a\nb", "a\\b"):
        with pytest.raises(UsageError, match="--name"):
            track(run, to="memory", name=name)
    with pytest.raises(UsageError, match="--project"):
        track(run, to="memory", project="a/b")
    (run / "metrics.jsonl").unlink()
    with pytest.raises(UsageError, match="has no metrics yet"):
        track(run, to="memory")
    assert not Memory.held


def test_the_bundle_of_a_run_stands_for_the_run(run):
    assert track(run / "bundle", to="memory").points == 9


@pytest.mark.parametrize(
    ("to", "package", "extra"),
    [
        ("tensorboard", "tensorboardX", "track"),
        ("trackio", "trackio", "track"),
        ("mlflow", "mlflow", "mlflow"),
        ("wandb", "wandb", "wandb"),
    ],
)
def test_a_package_that_is_missing_is_told_in_one_line(to, package, extra, run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    for name in (f"adapters.trackers.{to}", "adapters.mlflow_client"):
        monkeypatch.delitem(sys.modules, f"quickstudy.{name}", raising=False)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["track", str(run), "--to", to]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith(f"is not installed. Install it with: pip install 'quickstudy[{extra}]'\n")
