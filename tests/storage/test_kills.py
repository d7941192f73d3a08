"""A process that is killed at any of its file operations leaves what was there, or what was to come, and can go on."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quickstudy.storage.atomic import is_temporary
from quickstudy.storage.bundle import is_saved, save_bundle
from quickstudy.storage.folder_lock import LOCK
from quickstudy.storage.metrics_file import read_metrics
from quickstudy.storage.run_folder import RunFolder
from quickstudy.storage.whole_folders import existing_folder
from storage.kills import FIRST, SECOND, Algorithm, Tasks

NOTES = {"updates": 9, "seconds": 1.0}


@pytest.fixture
def before(tmp_path):
    """A run of two updates with a bundle."""
    run = RunFolder(tmp_path / "before")
    run.describe({"command": "first"})
    for update in (1, 2):
        run.append_metrics({"update": update})
        run.save(update, FIRST, NOTES)
    run.append_metrics({"update": 3})
    run.close()
    save_bundle(run.path / "bundle", Algorithm, FIRST, distribution=Tasks, command="first")
    return run.path


def is_saved_bundle(path, params):
    return is_saved(path, Algorithm, params, distribution=Tasks)


def states_after_kills(change, before, *, least):
    """The folders that kills at every file operation of a change have left; the last one is that of the whole change."""
    root = before.parent
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("kills.py"), change, root], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    states = sorted(root.glob("killed-*"), key=lambda path: int(path.name.partition("-")[2]))
    assert len(states) >= least
    return [*states, root / "after"]


def assert_nothing_is_left_over(folder):
    assert not [path for path in folder.rglob("*") if is_temporary(path) or path.name.endswith(".old") or path.name == LOCK]


def resumed(folder):
    """What a run that goes on in the folder finds: the description, the number of the update, its state, the metrics."""
    run = RunFolder(folder, resume=True)
    try:
        return run.description(), run.restore(FIRST), run.metrics()
    finally:
        run.close()
        assert_nothing_is_left_over(folder)


def test_a_kill_during_a_checkpoint_leaves_a_whole_one(before):
    seen = set()
    for state in states_after_kills("save_checkpoint", before, least=25):
        _, (update, found, _), lines = resumed(state)
        np.testing.assert_array_equal(found["weights"], (SECOND if update == 3 else FIRST)["weights"])
        assert [line["update"] for line in lines] == list(range(1, update + 1))
        seen.add(update)
    assert seen == {2, 3}
    assert update == 3


@pytest.mark.parametrize("change", ["replace_bundle", "replace_bundle_without_exchange"])
def test_a_kill_during_the_replacement_of_a_bundle_leaves_the_old_or_the_new_one(before, change):
    seen = []
    for state in states_after_kills(change, before, least=20):
        bundle = existing_folder(state / "bundle")
        card = json.loads((bundle / "bundle.json").read_text())
        seen.append(card["command"])
        assert is_saved_bundle(bundle, {"first": FIRST, "second": SECOND}[card["command"]])
        resumed(state)
        assert json.loads((state / "bundle" / "bundle.json").read_text()) == card
    assert seen == sorted(seen)
    assert set(seen) == {"first", "second"}


def test_a_kill_while_results_are_noted_leaves_the_card_whole(before):
    results = []
    for state in states_after_kills("note_results", before, least=5):
        results.append(json.loads((state / "bundle" / "bundle.json").read_text())["results"])
        assert is_saved_bundle(state / "bundle", FIRST)
    assert {json.dumps(one) for one in results} == {"{}", '{"test": {"second": 1}}'}


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_begins_can_begin_again(before):
    for state in states_after_kills("begin", before, least=15):
        folder = state / "new" / "run"
        held = {path.name for path in folder.iterdir() if not is_temporary(path)} if folder.exists() else set()
        if held <= {LOCK}:
            RunFolder(folder).close()
        else:
            description, found, _ = resumed(folder)
            assert (description, found) == ({"command": "second"}, None)
            RunFolder(folder, overwrite=True).close()
        assert_nothing_is_left_over(state)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_is_overwritten_can_go_on_or_be_overwritten(before):
    seen = set()
    for state in states_after_kills("overwrite", before, least=40):
        again = shutil.copytree(state, state.with_name(f"{state.name}-again"))
        description, found, lines = resumed(state)
        if description == {"command": "first"} and found is not None:
            np.testing.assert_array_equal(found[1]["weights"], FIRST["weights"])
        if description != {"command": "first"}:
            assert (found, lines) == (None, [])
        seen.add((description or {}).get("command"))
        if (state / "bundle").exists():
            assert is_saved_bundle(state / "bundle", FIRST)
        RunFolder(again, overwrite=True).close()
        assert not list(again.iterdir())
    assert {"first", "second"} <= seen


def test_a_kill_while_metrics_are_dropped_leaves_whole_lines(before):
    for state in states_after_kills("drop_metrics", before, least=8):
        assert [line["update"] for line in read_metrics(state)] in ([1, 2], [1, 2, 3])
