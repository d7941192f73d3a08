"""Runs in a list, and curves on one axis."""

import numpy as np
import pytest

from evaluation.made_runs import make_run
from quickstudy.dashboard.runs import RunCurve, Runs, binned, comparable
from quickstudy.protocol.errors import UsageError
from quickstudy.storage.folder_lock import FolderLock
from quickstudy.storage.metrics_file import MetricsFile
from quickstudy.storage.run_description import description_text, read_description


def test_a_run_under_way_has_a_speed_and_a_time_left(tmp_path):
    folder = make_run(tmp_path / "a", [[1.0, 2.0]] * 4, finished=False)
    description = read_description(folder)
    description["training"]["budget"] = "1000 steps"
    (folder / "run.json").write_text(description_text(description))
    lock = FolderLock.take(folder)
    state = Runs(tmp_path).state("a")
    assert (state.state, state.steps, state.seeds) == ("running", 400, 2)
    assert state.steps_per_second == pytest.approx(20.0)  # 2 seeds, 100 steps in 10 seconds
    assert state.seconds_left == pytest.approx(60.0)  # 6 updates of 10 seconds
    lock.release()
    assert Runs(tmp_path).state("a").state == "interrupted"


def test_alerts_name_what_a_person_should_look_at(tmp_path):
    folder = make_run(tmp_path / "a", [[1.0]])
    file = MetricsFile(folder / "metrics.jsonl")
    file.append({"update": 2, "steps": 200, "seconds": 20.0, "nonfinite_steps": [0.5], "lost": [1]})
    assert Runs(tmp_path).state("a").alerts == (
        "The newest updates have steps that are not finite.",
        "The newest updates have lost lifetimes.",
    )
    (folder / "run.json").write_text("{}x")
    (state,) = Runs(tmp_path).states()
    assert state.state == "damaged"
    assert "does not parse" in state.alerts[0]


def test_a_changed_file_is_read_again(tmp_path):
    folder, runs = make_run(tmp_path / "deep" / "er" / "a", [[1.0]]), Runs(tmp_path)
    assert runs.names() == ["deep/er/a"]
    assert runs.state("deep/er/a").held_out_return == 1.0
    MetricsFile(folder / "metrics.jsonl").append({"update": 2, "steps": 200, "seconds": 20.0, "held_out_return": [5.0]})
    assert runs.state("deep/er/a").held_out_return == 5.0
    with pytest.raises(UsageError, match="there is no run"):
        runs.folder_of("../deep/er/a")


def test_only_runs_on_the_same_tasks_are_compared(tmp_path):
    make_run(tmp_path / "a", [[1.0]])
    make_run(tmp_path / "b", [[1.0]], algorithm="maml")
    make_run(tmp_path / "c", [[1.0]], arms=9)
    groups = comparable(Runs(tmp_path).states())
    assert [sorted(run.name for run in group) for group in groups] == [["a", "b"], ["c"]]


def test_bins_hold_means_by_hand():
    one = RunCurve(steps=np.array([1.0, 2.0, 9.0]), values=np.array([[1.0, 3.0], [4.0, 4.0], [6.0, 8.0]]))
    other = RunCurve(steps=np.array([10.0]), values=np.array([[5.0]]))
    steps, means = binned([one, other], bins=2)  # up to step 5, and up to step 10
    assert steps.tolist() == [1.5, 9.5]
    np.testing.assert_allclose(means, [[3.0, np.nan], [7.0, 5.0]])
    assert binned([], bins=3)[0].size == 0
