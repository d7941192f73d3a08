"""A run goes on beyond its budget: what is planned, what is refused, and what becomes of earlier results."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.bundle import add_results, load_bundle
from quickstudy.storage.results_folder import set_aside
from quickstudy.training.budget import Schedule, is_longer
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.train_and_save import train_and_save

UPDATE = 32 * 5
"""Steps of one update: lifetimes and pulls of the algorithm of these tests."""


def config(updates):
    return TrainingConfig(budget=f"{updates * UPDATE} steps", evaluation_seconds=0, held_out_tasks=8)


@pytest.mark.parametrize(
    ("budget", "than", "longer"),
    [
        ("6m", "3m", True),
        ("1h", "59m", True),
        ("3m", "180s", False),
        ("2m", "3m", False),
        ("2e6 steps", "1e6 steps", True),
        ("2e6 steps", "3m", False),
        ("3m", "10 steps", False),
    ],
)
def test_budgets_of_one_kind_are_compared(budget, than, longer):
    assert is_longer(budget, than) == longer


def test_a_time_is_planned_at_the_speed_so_far():
    schedule = Schedule("6m", steps_per_update=10)
    schedule.go_on(100, seconds=180.0)
    assert schedule.updates == 200
    assert schedule.progress(100) == 0.5
    schedule.go_on(100, seconds=400.0)  # the first part took longer than the new budget
    assert schedule.updates == 100
    steps = Schedule("500 steps", steps_per_update=10)
    steps.go_on(30, seconds=1.0)
    assert steps.updates == 50


@pytest.mark.slow
def test_a_finished_run_goes_on_and_its_results_are_set_aside(algorithm, distribution, tmp_path):
    first = train_and_save(algorithm, distribution, config(2), folder=tmp_path, command="first", measure_baselines=False)
    assert first.finished
    old = load_bundle(tmp_path).card["parameters_sha256"]
    add_results(tmp_path / "bundle", "test", {"tasks": 3})
    (tmp_path / "evaluation-test.json").write_text("{}")
    (tmp_path / "pictures").mkdir()
    options = {"folder": tmp_path, "resume": True, "measure_baselines": False}

    with pytest.raises(UsageError, match="another configuration: budget was"):
        train_and_save(algorithm, distribution, config(4), **options)
    for other in (dataclasses.replace(config(2), budget="100 steps"), dataclasses.replace(config(2), budget="9h")):
        with pytest.raises(UsageError, match=r"has the budget '320 steps'; came .+ a longer one of the same kind"):
            train_and_save(algorithm, distribution, other, extend=True, **options)
    again = train_and_save(algorithm, distribution, config(2), extend=True, command="again", **options)
    assert again.finished
    assert load_bundle(tmp_path).card["results"] == {"test": {"tasks": 3}}

    on = train_and_save(algorithm, distribution, config(4), extend=True, command="second", **options)
    assert on.finished
    assert on.steps == 4 * UPDATE
    assert {"compiling", "training", "evaluating", "saving"} <= set(on.spent)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [1, 2, 3, 4]
    described = json.loads((tmp_path / "run.json").read_text())
    assert described["training"]["budget"] == f"{4 * UPDATE} steps"
    assert described["earlier"] == [{"budget": f"{2 * UPDATE} steps", "command": "first"}]
    card = load_bundle(tmp_path).card
    assert card["parameters_sha256"] != old
    assert card["results"] == {}
    aside = tmp_path / f"results-of-{old[:12]}"
    assert sorted(path.name for path in aside.iterdir()) == ["evaluation-test.json", "pictures"]
    assert not (tmp_path / "evaluation-test.json").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_and_is_stopped_resumes_bit_by_bit(algorithm, distribution, tmp_path):
    params = []
    for stops in ((2, 5), (2, 3, 5)):
        folder = tmp_path / str(len(stops))
        meta_train(algorithm, distribution, config(stops[0]), folder=folder)
        if len(stops) == 3:
            stopped = _interrupted_at(3, algorithm, distribution, folder)
            assert not stopped.finished
        run = meta_train(algorithm, distribution, config(5), folder=folder, resume=True, extend=True)
        params.append(run.params)
    equal = jax.tree.map(np.array_equal, *params)
    assert all(jax.tree.leaves(equal))


def _interrupted_at(update, algorithm, distribution, folder):
    def watch(progress):
        if progress.update == update:
            signal.raise_signal(signal.SIGINT)

    return meta_train(algorithm, distribution, config(5), folder=folder, resume=True, extend=True, watch=watch)


def test_nothing_measured_is_nothing_set_aside(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert set_aside(tmp_path, "0" * 64) is None
    (tmp_path / "report.html").write_text("old")
    assert set_aside(tmp_path, "ab" * 32) == tmp_path / "results-of-abababababab"
    (tmp_path / "report.html").write_text("newer")
    set_aside(tmp_path, "ab" * 32)
    assert (tmp_path / "results-of-abababababab" / "report.html").read_text() == "newer"
    assert (tmp_path / "run.json").exists()
