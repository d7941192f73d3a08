"""Returns of baselines: measured after training or read from a cache, and never before the first update."""

import dataclasses

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.storage.bundle import load_bundle
from quickstudy.training.baseline_returns import BaselineReturns, read_baselines
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.sources import held_out_tasks
from quickstudy.training.train_and_save import train_and_save
from rollout.collecting.environments import slides


@pytest.fixture
def distribution():
    """Bandits with one baseline, which notes when it is made."""
    bandits = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    return dataclasses.replace(bandits, baselines={"random": lambda: random_agent(bandits.spec)})


class Events:
    """Notes what a run shows, in order."""

    def __init__(self, distribution):
        self.seen = []
        make = distribution.baselines["random"]

        def noted():
            self.seen.append("baseline made")
            return make()

        self.distribution = dataclasses.replace(distribution, baselines={"random": noted})

    def watch(self, progress):
        self.seen.append(f"update {progress.update}")

    def show_baselines(self, returns, *, missing):
        self.seen.append(f"known {sorted(returns)} missing {sorted(missing)}")


def trained(events, folder, **options):
    algorithm = algorithms.make("rl2", events.distribution.spec, hidden_size=8, lifetimes=32)
    config = TrainingConfig(budget=f"{2 * 32 * 5} steps", held_out_tasks=16, evaluation_seconds=0.0)
    return train_and_save(algorithm, events.distribution, config, folder=folder, watcher=events, **options)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("empty_cache")
def test_the_first_update_comes_before_any_baseline_is_made(distribution, tmp_path):
    events = Events(distribution)
    trained(events, tmp_path / "run")
    assert events.seen == [
        "update 1", "known [] missing []", "update 2",
        "known [] missing ['random']", "baseline made", "known ['random'] missing []",
    ]  # fmt: skip
    assert set(read_baselines(tmp_path / "run")) == {"random"}
    assert load_bundle(tmp_path / "run" / "bundle").params is not None


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_the_second_run_reads_them_and_makes_none(distribution, tmp_path):
    trained(Events(distribution), tmp_path / "first")
    events = Events(distribution)
    trained(events, tmp_path / "second")
    assert events.seen == ["update 1", "known ['random'] missing []", "update 2"]
    assert read_baselines(tmp_path / "second") == read_baselines(tmp_path / "first")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_a_fault_of_a_baseline_loses_nothing_that_was_trained(distribution, tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    events = Events(dataclasses.replace(distribution, baselines={"random": interrupted}))
    assert trained(events, tmp_path / "run").finished
    assert read_baselines(tmp_path / "run") == {}
    assert load_bundle(tmp_path / "run" / "bundle").params is not None


@pytest.mark.slow
def test_the_return_is_the_mean_over_the_held_out_tasks(distribution, tmp_path):
    baselines = BaselineReturns(distribution, tasks=8, cache=tmp_path)
    assert baselines.missing == ("random",)
    assert list(baselines.measure()) == ["random"]
    drawn, keys = held_out_tasks(distribution, tasks=8)
    agent, returns = random_agent(distribution.spec), []
    for index in range(8):
        task = jax.tree.map(lambda leaf, index=index: leaf[index], drawn)
        returns.append(float(run_lifetime(agent, distribution, (), task, keys[index])[0].outcome.reward.sum()))
    assert baselines.returns["random"] == pytest.approx(np.mean(returns))


def test_the_cache_is_of_these_tasks_and_of_no_others(distribution, tmp_path):
    list(BaselineReturns(distribution, tasks=8, cache=tmp_path).measure())
    longer = tasks.make("bernoulli-bandit", arms=2, pulls=6)
    longer = dataclasses.replace(longer, baselines=distribution.baselines)
    renamed = dataclasses.replace(distribution, baselines={"other": distribution.baselines["random"]})
    for other, count, known in ((distribution, 8, 1), (distribution, 9, 0), (longer, 8, 0), (renamed, 8, 0)):
        baselines = BaselineReturns(other, tasks=count, cache=tmp_path)
        baselines.load()
        assert len(baselines.returns) == known
    (file,) = tmp_path.glob("*.json")
    file.write_text("not JSON")
    baselines = BaselineReturns(distribution, tasks=8, cache=tmp_path)
    baselines.load()
    assert baselines.missing == ("random",)


def test_baselines_of_environments_outside_jax_are_measured_too(tmp_path):
    host = slides()
    host = dataclasses.replace(host, baselines={"random": lambda: random_agent(host.spec)})
    baselines = BaselineReturns(host, tasks=4, collecting=CollectingConfig(collectors="inline"), cache=tmp_path)
    list(baselines.measure())
    assert baselines.returns["random"] < 0
    nothing = BaselineReturns(slides(), tasks=4, cache=tmp_path)
    assert list(nothing.measure()) == []
