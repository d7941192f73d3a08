"""Training runs side by side: what is read, what may be compared, and what is said."""

import json

import pytest

from evaluation.made_runs import make_run
from quickstudy.evaluation.training_runs import best_first, changed_files, differing, load_runs, same_tasks
from quickstudy.evaluation.training_summary import run_notes, run_sentences
from quickstudy.protocol.errors import UsageError


def test_curves_are_the_lines_with_held_out_returns(tmp_path):
    make_run(tmp_path / "a", [[1.0, 2.0], [3.0, 5.0]])
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 3, "steps": 300, "seco')
    (run,) = load_runs([tmp_path / "a" / "bundle"])
    assert run.returns.tolist() == [[1.0, 2.0], [3.0, 5.0]]
    assert run.steps.tolist() == [100, 200]
    assert run.seconds.tolist() == [10, 20]
    assert (run.seeds, run.finished, run.name) == (2, True, "a")


def test_numbers_that_anybody_wrote_are_looked_at(tmp_path):
    make_run(tmp_path / "a", [[1.0, 2.0], [3.0], [float("nan"), 1.0], [4.0, 4.0]])
    (run,) = load_runs([tmp_path / "a"])
    assert run.returns.tolist() == [[1.0, 2.0], [4.0, 4.0]]


def test_names_are_the_shortest_that_differ(tmp_path):
    folders = [make_run(tmp_path / name, [[1.0]]) for name in ("x/run", "y/run", "x/other")]
    assert [run.name for run in load_runs(folders)] == ["x/run", "y/run", "other"]


def test_folders_that_are_no_runs_are_refused(tmp_path):
    run = make_run(tmp_path / "run", [[1.0]])
    for folders, said in (
        ([tmp_path / "nowhere"], "there is no folder"),
        ([tmp_path], "holds no run: it has no run.json"),
        ([run, run / "bundle"], "is named twice"),
    ):
        with pytest.raises(UsageError, match=said):
            load_runs(folders)


@pytest.mark.parametrize(("updates", "finished"), [(20, True), (21, False), (None, False)])
def test_a_run_without_a_bundle_that_has_spent_its_budget_is_finished(updates, finished, tmp_path):
    folder = make_run(tmp_path / "run", [[1.0]], finished=False)
    for update in (9, 20):
        (folder / "checkpoints" / str(update)).mkdir(parents=True)
    (folder / "checkpoints" / "20" / "notes.json").write_text(json.dumps({"notes": {"updates": updates}}))
    assert load_runs([folder])[0].finished == finished
    (folder / "checkpoints" / "20" / "notes.json").write_text("{")
    assert not load_runs([folder])[0].finished


def test_other_tasks_are_another_group(tmp_path):
    folders = [make_run(tmp_path / str(at), [[1.0]], arms=arms) for at, arms in enumerate((5, 2, 5))]
    assert [[run.name for run in group] for group in same_tasks(load_runs(folders))] == [["0", "2"], ["1"]]


def test_settings_that_differ(tmp_path):
    one = make_run(tmp_path / "one", [[1.0]], rate=0.1, heads=4)
    other = make_run(tmp_path / "other", [[1.0]], rate=0.2, algorithm="maml", hidden=[8, 8])
    shared, partial = differing(load_runs([one, other]))
    assert shared == {"algorithm": ["rl2", "maml"], "rate": ["0.1", "0.2"]}
    assert partial == {"heads": ["4", "–"], "hidden": ["–", "[8, 8]"]}


def test_one_sentence_for_every_agent_the_best_first(tmp_path):
    folders = [
        make_run(tmp_path / "low", [[1.0, 1.1, 1.2]]),
        make_run(tmp_path / "close", [[3.0, 3.4, 2.8]]),
        make_run(tmp_path / "best", [[0.0, 0.0, 0.0], [3.0, 3.3, 3.1]]),
        make_run(tmp_path / "going", [[2.0]], finished=False),
        make_run(tmp_path / "begun", [], finished=False),
    ]
    runs = load_runs(folders)
    assert [run.name for run in best_first(runs)] == ["best", "close", "going", "low", "begun"]
    best, close, going, low, begun = run_sentences(runs)
    assert best == "best ends at a held-out return of 3.13 (3.00 to 3.30 over 3 seeds) after 200 environment steps and 20 s."
    assert "; the difference from best is not significant: 0.067 [" in close or "not significant: 0.07 [" in close
    assert going.startswith("going is not finished and is at a held-out return of 2.00 after 100 environment steps")
    assert going.endswith("; this is 1.13 less than best.")
    assert low.endswith(" less than best.")
    assert "[" in low
    assert begun == "begun is not finished and has no evaluation yet, so it has no curve."


def test_what_limits_a_comparison_is_said(tmp_path):
    one = make_run(tmp_path / "one", [[1.0, 1.0]], files={"mine.py": "aa", "same.py": "c"})
    other = make_run(tmp_path / "other", [[1.0]], files={"mine.py": "bb", "same.py": "c"}, machine="another processor")
    runs = load_runs([one, other])
    assert changed_files(runs) == ["mine.py"]
    notes = run_notes(runs)
    assert notes[0].startswith("other was trained with one seed")
    assert "different machines" in notes[1]
    assert notes[2].startswith("mine.py was changed between these runs")
    assert len(notes) == 3
    assert not run_notes(load_runs([one, make_run(tmp_path / "like one", [[2.0, 1.0]])]))
