"""Meta-training resumes to the same bits, stops with a message where a number breaks, and is the same for every seed."""

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy import tasks
from quickstudy.protocol.errors import NonFiniteError, SpecError, UsageError
from quickstudy.storage.metrics_file import read
from quickstudy.storage.run_folder import WITHIN, RunFolder, read_metrics
from quickstudy.training.loop import TrainingConfig, meta_train
from training.parameters import digest

STEPS_PER_UPDATE = 32 * 5
ALWAYS = {"evaluation_seconds": 0.0, "checkpoint_seconds": 0.0, "held_out_tasks": 16}


def config(updates, **changes):
    return TrainingConfig(**({"budget": f"{updates * STEPS_PER_UPDATE} steps"} | ALWAYS | changes))


@pytest.mark.slow
def test_the_same_run_twice_is_the_same_bit_by_bit(algorithm, distribution):
    first, second = (meta_train(algorithm, distribution, config(4)) for _ in range(2))
    assert digest(first.params) == digest(second.params)
    assert first.steps == 4 * STEPS_PER_UPDATE
    assert first.finished


def test_a_seed_is_the_same_alone_and_among_others(algorithm, distribution):
    together = meta_train(algorithm, distribution, config(3, seeds=2, seed=4))
    alone = meta_train(algorithm, distribution, config(3, seed=5))
    for leaf, of_alone in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(leaf[1], of_alone[0], rtol=1e-4, atol=1e-5)
    assert digest(jax.tree.map(lambda x: x[:1], together.params)) != digest(jax.tree.map(lambda x: x[1:], together.params))


CHILD = textwrap.dedent("""
    import os, sys
    from quickstudy import algorithms, tasks
    from quickstudy.training.loop import TrainingConfig, meta_train
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32)
    config = TrainingConfig(budget=sys.argv[2], evaluation_seconds=0.0, checkpoint_seconds=0.0, held_out_tasks=16, seeds=2)
    meta_train(algorithm, distribution, config, folder=sys.argv[1], resume=os.path.exists(sys.argv[1] + "/run.json"))
""")


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_bits(algorithm, distribution, tmp_path):
    updates, chooser = 60, random.Random(7)
    folder, whole = tmp_path / "killed", config(updates, seeds=2)
    # The child compiles as this process does: other flags may round otherwise.
    cached = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), whole.budget], stderr=subprocess.DEVNULL, env=cached
        )
        already = len(read_metrics(folder))
        until = time.monotonic() + 120
        while len(read_metrics(folder)) <= already and child.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chooser.uniform(0.0, 0.3))
        child.send_signal(signal.SIGKILL)
        child.wait()
    interrupted_at = len(read_metrics(folder))
    resumed = meta_train(algorithm, distribution, whole, folder=folder, resume=True)
    assert resumed.finished
    assert digest(resumed.params) == digest(meta_train(algorithm, distribution, whole).params)
    assert [line["update"] for line in read_metrics(folder)] == list(range(1, updates + 1))
    assert interrupted_at > 0


@pytest.mark.parametrize("by", slow_but(["Ctrl-C"], ["Ctrl-C", "watch"]))
def test_a_stopped_run_is_saved_and_resumes_to_the_same_bits(by, algorithm, distribution, tmp_path):
    def stop_at_third(progress):
        if progress.update == 3 and by == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
        return progress.update == 3 and by == "watch"

    stopped = meta_train(algorithm, distribution, config(6), folder=tmp_path, watch=stop_at_third)
    assert not stopped.finished
    assert stopped.steps == 3 * STEPS_PER_UPDATE
    resumed = meta_train(algorithm, distribution, config(6), folder=tmp_path, resume=True)
    assert digest(resumed.params) == digest(meta_train(algorithm, distribution, config(6)).params)
    within, damaged, _ = read(tmp_path / WITHIN)
    assert damaged == 0
    assert [line["update"] for line in within] == list(range(1, 7))
    for line, metrics in zip(within, resumed.metrics, strict=True):
        assert line["points"] == [1, 2, 3, 4, 5]
        np.testing.assert_allclose([row[-1] for row in line["return_so_far"]], metrics["held_out_return"], rtol=1e-4)


@pytest.mark.slow
def test_whatever_else_watch_returns_does_not_stop_a_run(algorithm, distribution):
    assert meta_train(algorithm, distribution, config(2), watch=lambda progress: progress.update).finished


@pytest.mark.slow
def test_a_metrics_line_that_was_cut_off_is_dropped(algorithm, distribution, tmp_path):
    meta_train(algorithm, distribution, config(2), folder=tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"update": 3, "ste')
    assert [line["update"] for line in read_metrics(tmp_path)] == [1, 2]


def broken(algorithm, *, after):
    """The algorithm, but its loss is not a number once the budget is spent to `after`."""

    def update(state, lifetimes, progress, key):
        state, metrics = algorithm.update(state, lifetimes, progress, key)
        poison = jnp.where(progress >= after, jnp.nan, 0.0)
        network = eqx.tree_at(lambda n: n.value.bias, state.params.network, replace_fn=lambda bias: bias + poison)
        state = dataclasses.replace(state, params=dataclasses.replace(state.params, network=network))
        return state, metrics | {"loss": metrics["loss"] + poison}

    return dataclasses.replace(algorithm, update=update)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_place(algorithm, distribution, tmp_path):
    with pytest.raises(NonFiniteError) as stopped:
        meta_train(broken(algorithm, after=0.5), distribution, config(4), folder=tmp_path)
    said = str(stopped.value)
    assert "update 3 (step 480)" in said
    assert "loss is not finite" in said
    assert "network.value.bias" in said
    assert f"the last good checkpoint is {tmp_path}/checkpoints/2" in said
    assert (tmp_path / "checkpoints" / "2").is_dir()


def spoilt(distribution, *, part):
    """The tasks, but this part of all rewards is NaN."""

    def step(task, state, action, key):
        state, outcome = distribution.step(task, state, action, key)
        drawn = jax.random.uniform(jax.random.fold_in(key, 1)) < part
        return state, dataclasses.replace(outcome, reward=jnp.where(drawn, jnp.nan, outcome.reward))

    return dataclasses.replace(distribution, step=step)


@pytest.mark.slow
def test_rewards_that_are_not_finite_are_masked_and_counted(algorithm, distribution):
    run = meta_train(algorithm, spoilt(distribution, part=0.1), config(4))
    steps = run.steps * run.config.seeds
    assert 0.05 * steps < run.nonfinite_steps < 0.15 * steps
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))
    assert meta_train(algorithm, distribution, config(4)).nonfinite_steps == 0


@pytest.mark.slow
def test_where_most_rewards_are_not_finite_the_run_stops(algorithm, distribution):
    with pytest.raises(NonFiniteError, match="not finite, on 90% of the steps"):
        meta_train(algorithm, spoilt(distribution, part=0.9), config(4))


@pytest.mark.slow
def test_a_full_disk_costs_the_checkpoint_and_not_the_run(algorithm, distribution, tmp_path, monkeypatch):
    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "save", no_space)
    run = meta_train(algorithm, distribution, config(2), folder=tmp_path)
    assert run.finished
    assert "No space left" in run.metrics[-1]["trouble"]


@pytest.mark.slow
def test_a_budget_in_seconds_is_kept_and_resolved_to_updates(algorithm, distribution, tmp_path):
    meta_train(algorithm, distribution, config(1), folder=tmp_path / "warm")  # compiling takes most of so small a budget
    run = meta_train(algorithm, distribution, config(1, budget="10s"), folder=tmp_path / "run")
    assert run.finished
    assert 1 < run.seconds < 60
    assert run.metrics[-1]["update"] > 3


def test_folders_are_not_overwritten_by_accident(algorithm, distribution, tmp_path):
    meta_train(algorithm, distribution, config(1), folder=tmp_path / "run")
    with pytest.raises(UsageError, match="already exists"):
        meta_train(algorithm, distribution, config(1), folder=tmp_path / "run")
    with pytest.raises(UsageError, match="another configuration: budget was"):
        meta_train(algorithm, distribution, config(2), folder=tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="holds no run to resume"):
        meta_train(algorithm, distribution, config(1), folder=tmp_path / "other", resume=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="does not hold a run, so it is not overwritten"):
        meta_train(algorithm, distribution, config(1), folder=tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"
    meta_train(algorithm, distribution, config(1), folder=tmp_path / "run", overwrite=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["episodes"] == 5


def test_an_algorithm_for_other_tasks_is_refused(algorithm):
    with pytest.raises(SpecError, match="action_space"):
        meta_train(algorithm, tasks.make("bernoulli-bandit", arms=3, pulls=5), config(1))
