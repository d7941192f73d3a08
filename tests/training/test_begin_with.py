"""A run begins with trained parameters: what is taken, what begins anew, and what is refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.storage.bundle import load_bundle, save_bundle
from quickstudy.training.begin_with import begun_with, check_begin
from quickstudy.training.loop import TrainingConfig, meta_train
from training.parameters import digest

CONFIG = TrainingConfig(budget="1 steps", evaluation_seconds=0, held_out_tasks=8)
"""One update."""


def many(algorithm, seeds):
    """Train states of so many seeds, drawn from keys that no bundle of these tests has."""
    return jax.jit(jax.vmap(algorithm.init))(jax.random.split(jax.random.key(9), seeds))


@pytest.fixture
def bundle(algorithm, distribution, tmp_path):
    """Of two seeds; the second one's numbers are other ones."""
    params = jax.jit(jax.vmap(lambda key: algorithm.params(algorithm.init(key))))(jax.random.split(jax.random.key(3)))
    return load_bundle(save_bundle(tmp_path / "trained", algorithm, params, distribution=distribution))


def test_the_parameters_are_those_of_the_bundle_and_the_optimiser_begins_anew(algorithm, bundle):
    before = many(algorithm, 2)
    after = begun_with(algorithm, before, bundle)
    assert digest(jax.vmap(algorithm.params)(after)) == digest(bundle.params)
    assert digest(after.optimiser) == digest(before.optimiser)


@pytest.mark.slow
def test_each_seed_begins_with_its_own_and_one_seed_begins_all(algorithm, bundle):
    first = dataclasses.replace(bundle, params=jax.tree.map(lambda leaf: leaf[:1], bundle.params))
    assert digest(begun_with(algorithm, many(algorithm, 1), bundle).params) == digest(first.params)
    all_alike = begun_with(algorithm, many(algorithm, 3), first).params
    assert digest(all_alike) == digest(jax.tree.map(lambda leaf: np.repeat(leaf, 3, axis=0), first.params))
    with pytest.raises(UsageError, match=r"holds 2 seeds; came --seeds 3\. Use at most 2\."):
        check_begin(algorithm, bundle, seeds=3)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("pearl", {}, marks=pytest.mark.slow),
        ("multi-task", {"rollouts": 2, "minibatches": 1}),
        ("reptile", {"rollouts": 2}),
    ],
)
def test_every_kind_of_train_state_takes_parameters(name, settings, tmp_path):
    distribution = tasks.make("bernoulli-bandit", arms=2, pulls=6)
    algorithm = algorithms.make(name, distribution.spec, **settings)
    params = jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype), jax.vmap(algorithm.params)(many(algorithm, 1)))
    bundle = load_bundle(save_bundle(tmp_path / name, algorithm, params, distribution=distribution))
    check_begin(algorithm, bundle, seeds=1)
    assert digest(jax.vmap(algorithm.params)(begun_with(algorithm, many(algorithm, 1), bundle))) == digest(params)


def test_parameters_of_other_shapes_are_named(distribution, bundle):
    larger = algorithms.make("rl2", distribution.spec, hidden_size=16, lifetimes=32)
    with pytest.raises(
        SpecError, match=r"rl2 cannot begin with a bundle of rl2 .*float32\[.*16.*\] here, float32\[.*8.*\] there"
    ):
        check_begin(larger, bundle, seeds=1)


def test_parameters_that_are_computed_are_refused(algorithm, bundle):
    doubled = lambda state: jax.tree.map(lambda leaf: 2 * leaf, state.params)  # noqa: E731
    with pytest.raises(UsageError, match="its `params` computes them from the train state"):
        check_begin(dataclasses.replace(algorithm, params=doubled), bundle, seeds=1)


def test_a_run_learns_on_from_a_bundle_and_resumes_with_it_alone(algorithm, distribution, bundle, tmp_path):
    slow = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32, learning_rate=1e-6)
    run = meta_train(slow, distribution, CONFIG, folder=tmp_path / "run", begin_with=bundle)
    # Adam moves a weight by the learning rate at most, at each of 16 steps.
    moved = jax.tree.map(lambda now, began: np.abs(now - began[:1]).max(initial=0), run.params.network, bundle.params.network)
    assert 0 < max(jax.tree.leaves(moved)) < 20e-6
    assert json.loads((tmp_path / "run" / "run.json").read_text())["begins_with"] == bundle.card["parameters_sha256"]
    assert np.isfinite(bundle.params.statistics.weight).all()  # the first update has not taken the bundle's memory
    again = meta_train(slow, distribution, CONFIG, folder=tmp_path / "run", resume=True, begin_with=bundle)
    assert digest(again.params) == digest(run.params)
    with pytest.raises(UsageError, match=r"another configuration: begins_with was '[0-9a-f]+', now None"):
        meta_train(slow, distribution, CONFIG, folder=tmp_path / "run", resume=True)
