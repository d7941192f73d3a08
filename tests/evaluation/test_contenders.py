"""Contenders from bundles and baselines: their names, their tasks, and one error for what does not fit."""

import dataclasses

import jax
import pytest

from quickstudy import algorithms, baselines, tasks
from quickstudy.evaluation.contenders import (
    baselines_of,
    contender,
    distribution_of,
    label,
    labels,
    load_opponent,
    shared_origin,
    trained_contender,
)
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.evaluation.splits import chosen_splits, evaluate_splits, note_results
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError
from quickstudy.storage.bundle import load_bundle, save_bundle


def saved(folder, distribution):
    """The path of a bundle whose agent was not trained."""
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=4)
    params = jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 2))
    return str(save_bundle(folder / "bundle", algorithm, params, distribution=distribution))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two agents of the same tasks, but for the number of episodes, and one of others."""
    folder = tmp_path_factory.mktemp("agents")
    made = {
        "long": tasks.make("point-navigation", episodes=4, horizon=5),
        "short": tasks.make("point-navigation", episodes=2, horizon=5),
        "bandit": tasks.make("bernoulli-bandit", arms=3, pulls=4),
    }
    return {name: saved(folder / name, distribution) for name, distribution in made.items()}


def loaded(paths, *names):
    return {paths[name]: load_bundle(paths[name]) for name in names}


def test_names_are_those_of_algorithms_with_the_folder_where_one_is_taken(paths):
    assert list(labels(loaded(paths, "long", "short")).values()) == ["rl2", "rl2 (short)"]
    assert label("rl2", "runs/a", ["rl2", "rl2 (a)"]) == "rl2 (runs/a)"


def test_lifetimes_may_be_longer_or_shorter_than_those_of_training(paths):
    bundle = load_bundle(paths["long"])
    spec = tasks.make("point-navigation", episodes=7, horizon=5).spec
    assert trained_contender(bundle, spec).agent.spec.episodes == 7
    assert trained_contender(bundle, spec).seeds == 2
    with pytest.raises(SpecError, match="made for other tasks"):
        trained_contender(bundle, tasks.make("bernoulli-bandit").spec)


def test_agents_of_the_same_tasks_are_measured_on_these(paths):
    both = loaded(paths, "long", "short")
    assert shared_origin(both)[1]["episodes"] == 4
    assert distribution_of(both).spec.episodes == 4
    assert distribution_of(both, episodes=3).spec.episodes == 3
    assert distribution_of(both, episodes=3).config["episodes"] == 3


def test_agents_of_different_tasks_need_the_tasks_to_be_named(paths):
    mixed = loaded(paths, "bandit", "long")
    with pytest.raises(UsageError, match=r"trained on different tasks: .*Name the tasks"):
        shared_origin(mixed)
    assert shared_origin(mixed, "point-navigation") == load_bundle(paths["long"]).origin()
    assert shared_origin(mixed, "cart-pole") == ("cart-pole", {})


def test_an_opponent_is_a_run_a_bundle_or_a_baseline(paths):
    spec = tasks.make("point-navigation", episodes=3, horizon=5).spec
    assert load_opponent(paths["long"], spec)[0] == "rl2"
    name, random = load_opponent("random", spec)
    assert (name, random.trained, random.seeds) == ("random", False, 1)
    with pytest.raises(UnknownNameError, match=r"unknown run, bundle or baseline 'randm'\. Did you mean 'random'"):
        load_opponent("randm", spec)


def test_baselines_of_a_distribution():
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=3)
    assert set(baselines_of(distribution)) == set(distribution.baselines)
    assert list(baselines_of(distribution, ["random"])) == ["random"]
    with pytest.raises(UnknownNameError, match="baseline of bernoulli-bandit"):
        baselines_of(distribution, ["randm"])


def test_every_split_but_train_is_measured_unless_some_are_named(paths):
    distribution = tasks.make("bernoulli-bandit", arms=3, pulls=4)
    assert "train" not in chosen_splits(distribution)
    assert chosen_splits(distribution, ("train",)) == ("train",)
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        next(evaluate_splits({}, distribution, splits=("tset",)))


@pytest.mark.slow
def test_splits_are_measured_one_by_one_and_noted_in_the_bundle(paths):
    distribution = tasks.make("bernoulli-bandit", arms=3, pulls=4)
    ours = {"rl2": trained_contender(load_bundle(paths["bandit"]), distribution.spec)}
    seen = []
    found = list(
        evaluate_splits(ours, distribution, splits=("test", "train"), tasks=6, progress=lambda *told: seen.append(told))
    )
    assert [one.split for one in found] == ["test", "train"]
    assert {told[0] for told in seen} == {"test", "train"}
    alone = evaluate(ours, distribution, split="test", tasks=6)
    assert found[0].task_hash == alone.task_hash
    assert found[0].results["rl2"].lifetime_return == alone.results["rl2"].lifetime_return

    note_results(paths["bandit"], found)
    card = load_bundle(paths["bandit"]).card["results"]["test"]
    assert card["task_hash"] == alone.task_hash
    assert card["lifetime_return"] == dataclasses.asdict(alone.results["rl2"].lifetime_return)


def test_a_contender_of_an_agent_has_its_initial_parameters():
    agent = baselines.make("random", tasks.make("bernoulli-bandit").spec)
    assert contender(agent).seeds == 1
