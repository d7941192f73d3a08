"""A sweep over a task and an algorithm whose truth is known: what is found, what is kept, and how it goes on."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.evaluation.sweep.effects import effects_of
from quickstudy.evaluation.sweep.records import SweepConfig
from quickstudy.evaluation.sweep.run import SilentSweepWatcher, sweep
from quickstudy.evaluation.sweep.storage import read_sweep
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.storage.bundle import load_bundle
from quickstudy.training.loop import TrainingConfig

HOME = Path(__file__).parent / "tiny.py"
ALGORITHM, TASKS = f"{HOME}:climber", f"{HOME}:task"
TRAINING = TrainingConfig(budget="100 steps", seeds=2, held_out_tasks=4)  # five updates of four lifetimes of five steps
FEW = SweepConfig(validation_tasks=400, test_tasks=300)


class Watched(SilentSweepWatcher):
    """Notes which trials begin, and interrupts one of them after its second update."""

    def __init__(self, interrupts=None):
        self.begun, self.updates, self._interrupts = [], 0, interrupts

    def begin(self, sweep, trial):
        self.begun.append(trial.number)
        self.updates = 0

    def watch(self, progress):
        self.updates += 1
        if self.begun[-1] == self._interrupts and self.updates == 2:
            os.kill(os.getpid(), signal.SIGINT)


def swept(folder, over, config=FEW, **more):
    return sweep(ALGORITHM, TASKS, over, config, folder=folder, training=TRAINING, **more)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid of a setting that matters and one that does not, and its folder."""
    folder = tmp_path_factory.mktemp("sweep") / "grid"
    config = dataclasses.replace(FEW, sampler="grid")
    return swept(folder, {"climb": [-4, 0, 4], "idle": [1, 2]}, config, command="quickstudy sweep ..."), folder


def expected(climb):
    """The expected return of the climber after five updates, without the small strength that it begins with."""
    return 5 / (1 + np.exp(-5 * climb / 10))


def test_the_setting_that_matters_is_found_and_the_other_is_not(grid):
    done, _ = grid
    assert done.finished
    for trial in done.results:
        assert trial.value == pytest.approx(expected(trial.settings["climb"]), abs=0.35)
    effects = effects_of(done).settings
    assert list(effects) == ["climb", "idle"]
    assert (effects["climb"].best, effects["climb"].worst, effects["climb"].matters) == (4, -4, True)
    assert effects["climb"].difference.low > 3
    assert not effects["idle"].matters
    assert effects["idle"].difference.low <= 0


def test_trials_that_act_alike_have_equal_returns(grid):
    """Every trial has the same validation tasks and keys, so a setting that does nothing changes no return."""
    done, _ = grid
    by_climb = {climb: [one.returns for one in done.results if one.settings["climb"] == climb] for climb in (-4, 0, 4)}
    assert all(first == second for first, second in by_climb.values())


def test_the_best_is_measured_on_other_tasks(grid):
    done, folder = grid
    (winner,) = done.winners
    assert winner.trial == 5
    assert winner.test_tasks == 300
    assert winner.test_return.value == pytest.approx(expected(4), abs=0.35)
    assert winner.test_return.value != pytest.approx(done.results[4].value, abs=1e-6)
    bundle = load_bundle(folder / "trials" / "005", algorithm=ALGORITHM)
    assert bundle.seeds == 2


def test_what_is_written(grid):
    done, folder = grid
    assert read_sweep(folder) == done
    rows = (folder / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "trial,state,seed,climb,idle,validation_return,steps,seconds"
    assert len(rows) == 1 + 6 * 2
    assert rows[1].startswith(f"1,finished,0,-4.0,1,{done.results[0].returns[0]},100,")
    assert sorted(path.name for path in folder.iterdir()) == ["sweep.json", "trials", "trials.csv"]
    assert not list(folder.glob("trials/*/checkpoints"))


def test_a_finished_sweep_trains_nothing_again(grid):
    done, folder = grid
    watched = Watched()
    config = dataclasses.replace(FEW, sampler="grid")
    assert swept(folder, {"climb": [-4, 0, 4], "idle": [1, 2]}, config, resume=True, watcher=watched).results == done.results
    assert watched.begun == []


@pytest.mark.parametrize(
    ("over", "config", "more", "says"),
    [
        ({"climb": [-4, 0, 4], "idle": [1, 2]}, FEW, {}, "already holds a sweep. Go on with --resume, start again with"),
        (
            {"climb": [-4, 0, 5], "idle": [1, 2]},
            FEW,
            {"resume": True},
            "other settings: over, climb, values was [-4.0, 0.0, 4.0]",
        ),
        (
            {"climb": [-4, 0, 4], "idle": [1, 2]},
            dataclasses.replace(FEW, validation_tasks=399),
            {"resume": True},
            "validation_tasks",
        ),
        ({"climb": [0, 99]}, FEW, {}, "climb must lie between -50 and 50; came 99"),
        ({"pulls": [0.5, 1]}, FEW, {}, "pulls must be a whole number; came 0.5"),
        ({"height": [0, 99]}, FEW, {}, "unknown setting to vary, 'height'"),
        ({}, FEW, {}, "a sweep needs a setting to vary"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(grid, over, config, more, says):
    watched = Watched()
    with pytest.raises(UsageError) as refused:
        swept(grid[1], over, dataclasses.replace(config, sampler="grid"), watcher=watched, **more)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert watched.begun == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("mine", encoding="utf-8")
    for more in ({}, {"overwrite": True}):
        with pytest.raises(UsageError, match="does not hold a sweep, so nothing is written there"):
            swept(tmp_path, {"climb": [0, 1]}, **more)
    with pytest.raises(UsageError, match=r"there is no sweep to resume in .*gone"):
        swept(tmp_path / "gone", {"climb": [0, 1]}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_to_the_same_results(tmp_path):
    over, config = {"climb": "-4:4"}, dataclasses.replace(FEW, trials=2, test_tasks=0)
    whole = swept(tmp_path / "whole", over, config)
    stopped = swept(tmp_path / "parts", over, config, watcher=Watched(interrupts=2))
    assert not stopped.finished
    assert [one.state for one in stopped.results] == ["finished", "under way"]
    assert (tmp_path / "parts" / "trials" / "002" / "checkpoints").is_dir()
    watched = Watched()
    resumed = swept(tmp_path / "parts", over, config, resume=True, watcher=watched)
    assert watched.begun == [2]
    plain = lambda done: [(one.settings, one.returns, one.steps) for one in done.results]  # noqa: E731
    assert plain(resumed) == plain(whole)
    assert resumed.winners[0].trial == whole.winners[0].trial
    # More trials: the earlier ones stay.
    more = swept(tmp_path / "parts", over, dataclasses.replace(config, trials=3), resume=True)
    assert plain(more)[:2] == plain(whole)
    assert len(more.results) == 3


@pytest.mark.slow
def test_settings_that_cannot_be_trained_are_told_and_left_out(tmp_path):
    config = dataclasses.replace(FEW, sampler="grid", test_tasks=0)
    done = swept(tmp_path / "one", {"mode": ["plain", "broken"]}, config)
    assert [one.state for one in done.results] == ["finished", "failed"]
    assert "update 1" in done.results[1].fault
    assert "\n" not in done.results[1].fault
    assert done.winners[0].trial == 1
    with pytest.raises(UsageError, match=r"no trial could be trained. Trial 1 failed: "):
        sweep(
            ALGORITHM, TASKS, {"idle": [1, 2]}, config, folder=tmp_path / "none", training=TRAINING,
            algorithm_settings={"mode": "broken"},
        )  # fmt: skip


@pytest.mark.slow
def test_each_set_of_tasks_has_its_own_best_and_the_test_split_chooses_nothing(tmp_path, monkeypatch):
    splits = []

    def draw(distribution, *, split, **more):
        splits.append(split)
        return draw_tasks(distribution, split=split, **more)

    monkeypatch.setattr("quickstudy.evaluation.sweep.run.draw_tasks", draw)
    config = dataclasses.replace(FEW, sampler="grid", test_tasks=200)
    done = swept(tmp_path / "tasks", {"climb": [-4, 4], "pays": [1, 2]}, config)
    assert [(one.trial, dict(one.tasks)) for one in done.winners] == [(3, {"pays": 1.0}), (4, {"pays": 2.0})]
    assert done.winners[1].test_return.value == pytest.approx(2 * expected(4), abs=0.7)
    assert splits == ["train"] * 4


@pytest.mark.slow
def test_tpe_goes_on_from_its_journal(tmp_path):
    pytest.importorskip("optuna")
    over = {"climb": "-4:4", "idle": [1, 2], "sizes": [[1], [1, 2]]}
    config = dataclasses.replace(FEW, sampler="tpe", trials=3, test_tasks=0)
    stopped = swept(tmp_path / "tpe", over, config, watcher=Watched(interrupts=2))
    done = swept(tmp_path / "tpe", over, config, resume=True)
    assert [one.state for one in done.results] == ["finished"] * 3
    assert done.results[:2] == (stopped.results[0], dataclasses.replace(done.results[1], settings=stopped.results[1].settings))
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(tmp_path / "tpe" / "optuna.journal")))
    study = optuna.load_study(study_name="sweep", storage=storage)
    assert [one.value for one in study.trials] == [one.value for one in done.results]
    assert study.best_trial.number + 1 == done.winners[0].trial


def test_a_full_disk_ends_the_sweep_in_one_line(grid, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("quickstudy.evaluation.sweep.storage.write_atomically", full)
    with pytest.raises(QuickstudyError, match=r"No space left on device .*Make room, then give the same command with --resume"):
        swept(tmp_path / "full", {"climb": [0, 1]})


def test_a_damaged_record_is_refused_in_one_line(grid, tmp_path):
    document = json.loads((grid[1] / "sweep.json").read_text(encoding="utf-8"))
    for content in ("{", json.dumps(document | {"results": 5}), json.dumps(document | {"format": 9})):
        (tmp_path / "sweep.json").write_text(content, encoding="utf-8")
        with pytest.raises(UsageError) as refused:
            read_sweep(tmp_path)
        assert "\n" not in str(refused.value)
