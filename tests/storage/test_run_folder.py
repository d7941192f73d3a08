"""A run folder: what is refused, what is cleared, and what is found again."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.folder_lock import LOCK, FolderLock
from quickstudy.storage.run_folder import RunFolder

STATE, NOTES = {"weights": np.arange(4.0, dtype=np.float32)}, {"updates": 3, "seconds": 1.0}
DESCRIPTION = {"command": "train", "algorithm": {"name": "rl2", "config": {"sizes": (1, 2)}}}


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.describe(DESCRIPTION)
    run.append_metrics({"update": 1})
    run.save(1, STATE, NOTES)
    run.close()
    return run.path


def resumed(folder):
    run = RunFolder(folder, resume=True)
    try:
        return run.description(), run.restore(STATE), run.metrics()
    finally:
        run.close()


def test_a_run_goes_on_where_it_was(folder):
    description, (update, state, notes), lines = resumed(folder)
    assert description == json.loads(json.dumps(DESCRIPTION))
    assert (update, notes, lines) == (1, NOTES, [{"update": 1}])
    np.testing.assert_array_equal(state["weights"], STATE["weights"])


@pytest.mark.parametrize("asked", [{"resume": True}, {"overwrite": True}])
def test_a_second_run_is_refused_and_changes_nothing(folder, asked):
    lock = FolderLock.take(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UsageError, match=f"in use: process {os.getpid()} on the host"):
        RunFolder(folder, **asked)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    lock.release()
    RunFolder(folder, **asked).close()


def test_a_run_that_was_refused_its_folder_leaves_no_lock(folder):
    with pytest.raises(UsageError, match="already exists"):
        RunFolder(folder)
    assert not (folder / LOCK).exists()


def test_leftovers_of_killed_processes_are_cleared_and_nothing_else(folder):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = [folder / f".run.json.{process.pid}.0123abcd.tmp", folder / "checkpoints" / f".7.{process.pid}.0123abcd.tmp"]
    living = folder / f".evaluation-test.json.{os.getppid()}.0123abcd.tmp"
    mine = [folder / ".notes.tmp", folder / ".run.json.swp", folder / "checkpoints" / "notes.txt"]
    for path in (dead[0], living, *mine):
        path.write_text("x")
    dead[1].mkdir()
    (dead[1] / "state.safetensors").write_text("x")
    (folder / ".bundle.old").mkdir()  # a replacement that was cut off: the bundle gets its name back
    RunFolder(folder, resume=True).close()
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in (living, *mine, folder / "bundle"))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_description_is_written_again_from_a_checkpoint(folder, damage, caplog):
    path = folder / "run.json"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[data.index(b"rl2") + 2] ^= 1  # it still parses
    path.write_bytes(data[:40] if damage == "cut" else data)
    if damage == "remove":
        path.unlink()
    description, found, _ = resumed(folder)
    assert description == json.loads(json.dumps(DESCRIPTION))
    assert found[0] == 1
    assert "run.json" in caplog.text
    assert "It is written again from a checkpoint." in caplog.text
    caplog.clear()
    resumed(folder)
    assert not caplog.records


def test_a_damaged_description_without_a_copy_is_refused_in_one_line(folder):
    (folder / "run.json").write_text("{")
    (folder / "checkpoints" / "1" / "notes.json").unlink()
    with pytest.raises(UsageError, match=r"No checkpoint holds a copy of it\. Start again with --overwrite") as refused:
        resumed(folder)
    assert "\n" not in str(refused.value)
    RunFolder(folder, overwrite=True).close()


def test_a_run_without_a_whole_checkpoint_starts_again_and_says_so(folder, caplog):
    (folder / "checkpoints" / "1" / "state.safetensors").write_bytes(b"")
    _, found, lines = resumed(folder)
    assert (found, lines) == (None, [])
    assert f"The run in {folder} has no whole checkpoint, so it starts again from the beginning." in caplog.text


def test_a_folder_that_was_only_begun_is_a_new_one(tmp_path):
    for asked in ({}, {"resume": True}, {"overwrite": True}):
        (tmp_path / LOCK).write_text("{}")
        RunFolder(tmp_path, **asked).close()
        assert not list(tmp_path.iterdir())


def test_overwriting_deletes_all_but_the_lock(folder):
    (folder / "bundle").mkdir()
    run = RunFolder(folder, overwrite=True)
    assert [path.name for path in folder.iterdir()] == [LOCK]
    run.close()
