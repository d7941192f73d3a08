"""Meta-training on tasks outside JAX: the same wherever they are collected, whichever process is killed or stopped."""

import dataclasses
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from laws.by_hand import assert_close
from quickstudy import algorithms
from quickstudy.cli import main
from quickstudy.cli.progress_panel import Panel
from quickstudy.protocol.errors import CollectingError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.metrics_file import read
from quickstudy.storage.run_folder import WITHIN, read_metrics
from quickstudy.training.loop import TrainingConfig, meta_train
from rollout.collecting.environments import FAULTS, sample_task, slides
from rollout.collecting.poles import poles

LIFETIMES = 8
STEPS_PER_UPDATE = LIFETIMES * 20
INLINE = CollectingConfig(collectors="inline", parallel_environments=4)
PROCESS = CollectingConfig(workers=1, parallel_environments=4)

pytestmark = pytest.mark.xdist_group("host training")


@pytest.fixture(scope="module")
def distribution():
    return poles()


@pytest.fixture(scope="module")
def algorithm(distribution):
    return algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=LIFETIMES)


def config(updates=3, **changes):
    asked = {"evaluation_seconds": 0.0, "checkpoint_seconds": 0.0, "held_out_tasks": 4}
    return TrainingConfig(budget=f"{updates * STEPS_PER_UPDATE} steps", **(asked | changes))


@pytest.fixture(scope="module")
def inline(algorithm, distribution, tmp_path_factory):
    return meta_train(algorithm, distribution, config(), collecting=INLINE, folder=tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def in_process(algorithm, distribution):
    return meta_train(algorithm, distribution, config(), collecting=PROCESS)


def assert_same_bits(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.slow
def test_it_learns_the_same_here_and_in_a_process_of_its_own(inline, in_process, algorithm):
    assert inline.finished
    assert inline.steps == 3 * STEPS_PER_UPDATE
    assert_close(inline.params, in_process.params, tolerance=1e-3)
    untrained = algorithm.params(algorithm.init(jax.random.key(0)))
    moved = jax.tree.map(lambda a, b: float(np.abs(a[0] - b).max()), inline.params, untrained)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_metrics_describe_the_lifetimes(inline):
    for number, line in enumerate(inline.metrics, start=1):
        assert (line["update"], line["steps"]) == (number, number * STEPS_PER_UPDATE)
        assert line["lost"] == [0.0]
        assert line["nonfinite_steps"] == [0.0]
        # Every step of a cart-pole pays one.
        assert line["environment_steps"][0] == pytest.approx(LIFETIMES * line["train_return"][0], rel=1e-5)
        assert 0 < line["environment_steps"][0] <= STEPS_PER_UPDATE
        assert 0 < line["train_upright"][0] <= 1
        assert 0 < line["held_out_upright"][0] <= 1
        assert 2 < line["held_out_return"][0] <= 20
    within, _, _ = read(inline.folder / WITHIN)
    for line, metrics in zip(within, inline.metrics, strict=True):
        assert line["points"] == list(range(1, 21))
        assert line["return_so_far"][0][:2] == [1.0, 2.0]
        assert line["return_so_far"][0][-1] == pytest.approx(metrics["held_out_return"][0], rel=1e-4)
    assert (inline.lost, inline.nonfinite_steps) == (0, 0)
    assert min(line["environment_steps"][0] for line in inline.metrics) < STEPS_PER_UPDATE  # some poles fell


@pytest.mark.slow
def test_a_seed_is_the_same_alone_and_among_others(inline, algorithm, distribution):
    both = meta_train(algorithm, distribution, config(3, seeds=2), collecting=INLINE)
    assert_close(jax.tree.map(lambda leaf: leaf[:1], both.params), inline.params, tolerance=1e-4)
    assert all(len(line["environment_steps"]) == 2 == len(line["train_upright"]) for line in both.metrics)
    assert not np.array_equal(*(jax.tree.leaves(both.params)[0][seed] for seed in range(2)))


@pytest.mark.slow
def test_interrupted_and_resumed_elsewhere_it_is_the_same_run(inline, algorithm, distribution, tmp_path):
    def interrupt(progress):
        if progress.update == 2:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = meta_train(algorithm, distribution, config(), folder=tmp_path, collecting=INLINE, watch=interrupt)
    assert not stopped.finished
    # Where lifetimes are collected, and how patiently, is no part of the run.
    elsewhere = dataclasses.replace(INLINE, workers=3, patience_seconds=7.0)
    resumed = meta_train(algorithm, distribution, config(), folder=tmp_path, resume=True, collecting=elsewhere)
    assert_same_bits(resumed.params, inline.params)
    assert [line["environment_steps"] for line in read_metrics(tmp_path)] == [
        line["environment_steps"] for line in inline.metrics
    ]


def workers_of(pid):
    """The worker processes of a process."""
    lists = [path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(number) for numbers in lists for number in numbers.split()]
    return [child for child in children if b"collecting.process_main" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(in_process, algorithm, distribution, capfd):
    killers = []

    def kill_soon(progress):
        if progress.update < 3:
            (worker,) = workers_of(os.getpid())
            killers.append(threading.Timer(0.02 * progress.update, os.kill, (worker, signal.SIGKILL)))
            killers[-1].start()

    run = meta_train(algorithm, distribution, config(), collecting=PROCESS, watch=kill_soon)
    for killer in killers:
        killer.join()
    assert_same_bits(run.params, in_process.params)
    assert run.lost == 0
    assert capfd.readouterr().err.count("a worker was replaced") == 2
    gc.collect()
    assert not workers_of(os.getpid())


@pytest.mark.slow
def test_a_learner_that_is_killed_leaves_no_worker_and_is_resumed(algorithm, in_process, tmp_path, capsys):
    task_file = f"{pathlib.Path(__file__).parents[1] / 'rollout' / 'collecting' / 'poles.py'}:poles"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    budget = f"{6 * STEPS_PER_UPDATE} steps"
    flags = [
        "--hidden-size",
        8,
        "--lifetimes",
        LIFETIMES,
        "--held-out-tasks",
        4,
        "--evaluation-seconds",
        0,
        "--checkpoint-seconds",
        0,
    ]
    flags += ["--budget", budget, "--workers", 1, "--parallel-environments", 4]
    asked = [str(word) for word in ("train", "rl2", task_file, *flags)]
    # The child compiles as this process does: other flags may round otherwise.
    cached = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.values["jax_compilation_cache_dir"]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    code = f"from quickstudy.cli import main; main({[*asked, '--folder', str(killed)]!r})"
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | cached, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 300
    while len(read_metrics(killed)) < 2 and child.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    workers = workers_of(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(workers) == 1
    assert 2 <= len(read_metrics(killed)) < 6
    while any(pathlib.Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until, "a worker outlived its learner"

    assert main([*asked, "--folder", str(killed), "--resume"]) == 0
    assert main([*asked, "--folder", str(whole)]) == 0
    assert f"Trained: {killed}/bundle" in " ".join(capsys.readouterr().out.split())
    ours, theirs = (load_bundle(folder / "bundle") for folder in (killed, whole))
    assert_same_bits(ours.params, theirs.params)
    counted = ("update", "steps", "environment_steps", "lost", "train_return")
    ours, theirs = ([{name: line[name] for name in counted} for line in read_metrics(folder)] for folder in (killed, whole))
    assert ours == theirs
    assert len(ours) == 6

    measured = ["--on", task_file, "--tasks", "4", "--splits", "test", "--collectors", "inline"]
    assert main(["evaluate", str(whole), *measured]) == 0
    result = json.loads((whole / "evaluation-test.json").read_text())["results"]["rl2"]
    assert len(result["measures_by_episode"]["upright"]["value"]) == 2


def faulty(part):
    """Slides of which this part breaks in the middle of a lifetime."""

    def sample(split, generator):
        drawn = generator.uniform() < part
        return sample_task(split, generator) | {"fault": FAULTS.index("step" if drawn else "none")}

    return dataclasses.replace(slides(), sample=sample)


@pytest.mark.slow
def test_lost_lifetimes_are_counted_and_not_learned_from(capsys):
    broken = faulty(0.25)
    rl2 = algorithms.make("rl2", broken.spec, hidden_size=8, lifetimes=16)
    asked = TrainingConfig(budget=f"{3 * 16 * 12} steps", evaluation_seconds=0.0, held_out_tasks=16)
    run = meta_train(rl2, broken, asked, collecting=INLINE)
    lost = [line["lost"][0] for line in run.metrics]
    assert run.lost == sum(lost) > 0
    assert 0 < run.nonfinite_steps + run.lost < 24
    assert run.nonfinite_steps == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))
    assert all(np.isfinite(line[name]).all() for line in run.metrics for name in line)
    assert capsys.readouterr().err.count("RuntimeError: the motor is stuck") == 1


def test_where_most_is_lost_it_stops(capsys):
    broken = faulty(0.8)
    rl2 = algorithms.make("rl2", broken.spec, hidden_size=8, lifetimes=16)
    with pytest.raises(CollectingError, match="of 16 lifetimes were lost to faults of their environment"):
        meta_train(rl2, broken, TrainingConfig(budget="9999 steps", held_out_tasks=16), collecting=INLINE)
    assert 'raise RuntimeError("the motor is stuck")' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [False, True])
def test_the_panel_shows_time_by_activity_and_measures(terminal, algorithm, distribution, monkeypatch, capsys):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    watched = []
    with Panel(algorithm, distribution, config()) as panel:

        def watch(progress):
            watched.append(progress)
            panel.watch(progress)

        meta_train(algorithm, distribution, config(), collecting=INLINE, watch=watch)
    last = watched[-1]
    assert set(last.spent) == {"environment", "policy", "transfer", "update", "compiling", "evaluating", "saving"}
    assert all(last.spent[what] > 0 for what in ("environment", "policy", "update", "evaluating"))
    # The activities add up to the time that passed.
    assert 0.7 * last.seconds < sum(last.spent.values()) <= 1.02 * last.seconds
    said = capsys.readouterr().out
    assert "held out upright" in said
    if terminal:
        assert "where the time goes" in said
        assert "environment" in said
