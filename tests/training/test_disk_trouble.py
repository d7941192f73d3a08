"""A disk that is full, broken or read-only costs a checkpoint or a page, never the run or what was there."""

import errno
import json

import pytest

from faults import FailingDisk, fill, small_disk
from marks import slow_but
from quickstudy.cli import main
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.storage.bundle import is_saved, load_bundle
from quickstudy.storage.run_folder import read_metrics
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.train_and_save import train_and_save
from training.parameters import digest

UPDATES = 8
FULL, ROOM = 2, 5
"""Updates after which the disk is full, and has room again."""


CONFIG = TrainingConfig(budget=f"{UPDATES * 32 * 5} steps", evaluation_seconds=0.0, checkpoint_seconds=0.0, held_out_tasks=16)


@pytest.fixture(scope="module")
def undisturbed(algorithm, distribution):
    return digest(meta_train(algorithm, distribution, CONFIG).params)


def assert_nothing_was_lost(run, folder, undisturbed):
    assert run.finished
    assert digest(run.params) == undisturbed
    lines = read_metrics(folder)
    assert [line["update"] for line in lines] == list(range(1, UPDATES + 1))
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [str(UPDATES - 1), str(UPDATES)]
    assert {bool(line.get("trouble")) for line in lines} == {False, True}


@pytest.mark.parametrize("number", slow_but([errno.ENOSPC], [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS]))
def test_trouble_during_training_costs_checkpoints_alone(algorithm, distribution, undisturbed, tmp_path, monkeypatch, number):
    disk, folder = FailingDisk(monkeypatch, tmp_path), tmp_path / "run"

    def disturb(progress):
        disk.number = number if FULL <= progress.update < ROOM else None
        if progress.update == ROOM:
            assert "could not be written" in progress.metrics["trouble"]
            assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["1", "2"]

    run = meta_train(algorithm, distribution, CONFIG, folder=folder, watch=disturb)
    assert disk.failures >= ROOM - FULL
    assert_nothing_was_lost(run, folder, undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_really_full_costs_checkpoints_alone(algorithm, distribution, undisturbed, tmp_path):
    with small_disk(tmp_path / "disk", size="400k") as disk:

        def disturb(progress):
            if progress.update == FULL:
                fill(disk)
            if progress.update == ROOM:
                (disk / "filler").unlink()

        run = meta_train(algorithm, distribution, CONFIG, folder=disk / "run", watch=disturb)
        assert_nothing_was_lost(run, disk / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_bundle_that_does_not_fit_is_written_on_resume(algorithm, distribution, undisturbed, tmp_path, monkeypatch, number):
    disk, folder = FailingDisk(monkeypatch, tmp_path), tmp_path / "run"

    class FullAtTheEnd:
        def watch(self, progress):
            disk.number = number if progress.update >= UPDATES - 1 else None

        def show_baselines(self, returns, *, missing):
            pass

    asked = {"folder": folder, "measure_baselines": False}
    with pytest.raises(QuickstudyError, match=r"the bundle could not be written.*--resume: it writes the bundle") as said:
        train_and_save(algorithm, distribution, CONFIG, **asked, watcher=FullAtTheEnd())
    assert "\n" not in str(said.value)
    assert not (folder / "bundle").exists()
    assert str(UPDATES - 1) in {path.name for path in (folder / "checkpoints").iterdir()}
    disk.number = None
    run = train_and_save(algorithm, distribution, CONFIG, **asked, resume=True)
    assert digest(run.params) == undisturbed
    assert is_saved(folder / "bundle", algorithm, run.params, distribution=distribution)


@pytest.mark.slow
def test_a_run_that_has_ended_keeps_its_bundle_on_resume(algorithm, distribution, tmp_path):
    asked = {"folder": tmp_path, "measure_baselines": False}
    run = train_and_save(algorithm, distribution, CONFIG, **asked)
    card = tmp_path / "bundle" / "bundle.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"results": {"test": {"tasks": 3}}}))
    train_and_save(algorithm, distribution, CONFIG, **asked, resume=True)
    assert load_bundle(tmp_path).card["results"] == {"test": {"tasks": 3}}
    card.unlink()  # what is damaged is written again
    train_and_save(algorithm, distribution, CONFIG, **asked, resume=True)
    assert is_saved(tmp_path / "bundle", algorithm, run.params, distribution=distribution)


TINY = ["--arms", "2", "--pulls", "5", "--hidden-size", "8", "--lifetimes", "32", "--held-out-tasks", "32"]


@pytest.mark.slow
def test_measuring_and_drawing_on_a_full_disk_leave_what_was_there(tmp_path, capsys):
    """Training, evaluation, noting in the bundle, and the report, each with one plain line, and each again with room."""
    with small_disk(tmp_path / "disk", size="8m") as disk:
        run = str(disk / "run")
        measure = ["evaluate", run, "--tasks", "16", "--splits", "test", "--no-baselines"]
        assert main(["train", "rl2", "bernoulli-bandit", *TINY, "--budget", "1000 steps", "--folder", run]) == 0
        assert main([*measure, "--seed", "1"]) == 0
        assert main(["report", run]) == 0
        kept = [disk / "run" / name for name in ("evaluation-test.json", "report.html", "bundle/bundle.json")]
        before = [path.read_bytes() for path in kept]
        filler = fill(disk)
        for command, names in ((measure, "evaluation-test.json"), (["report", run], "pictures")):
            capsys.readouterr()
            assert main(command) == 1
            said = capsys.readouterr().err.strip()
            assert said.startswith("quickstudy: No space left on device: ")
            assert names in said
            assert "\n" not in said
            assert [path.read_bytes() for path in kept] == before
        assert not [path for path in (disk / "run").rglob("*") if path.name.endswith(".tmp")]
        filler.unlink()
        assert main(measure) == 0
        assert main(["report", run]) == 0
        assert [path.read_bytes() != old for path, old in zip(kept, before, strict=True)] == [True, True, True]
