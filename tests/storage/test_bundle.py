"""A bundle gives the same agent back, and says what differs when it cannot."""

import hashlib
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from marks import slow_but
from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import BundleError, SpecError, UnknownNameError, UsageError
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.storage.bundle import load_bundle, save_bundle

DISTRIBUTION = tasks.make("bernoulli-bandit", arms=3, pulls=6)


@pytest.fixture(params=slow_but(["gru"], ["gru", "lstm", "linear", "associative", "attention"]))
def algorithm(request):
    return algorithms.make("rl2", DISTRIBUTION.spec, hidden_size=8, cell=request.param)


@pytest.fixture
def params(algorithm):
    return jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 2))


@pytest.fixture
def path(tmp_path, algorithm, params):
    return save_bundle(tmp_path / "bundle", algorithm, params, distribution=DISTRIBUTION, command="made so")


def test_a_loaded_agent_decides_the_same(path, algorithm, params):
    bundle = load_bundle(path)
    assert bundle.seeds == 2
    assert bundle.card["command"] == "made so"
    task = DISTRIBUTION.sample("test", jax.random.key(1))
    for seed in range(2):
        ours = jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)
        before, _ = run_lifetime(algorithm.agent, DISTRIBUTION, ours, task, jax.random.key(2))
        after, _ = run_lifetime(bundle.agent, DISTRIBUTION, bundle.params_of(seed), task, jax.random.key(2))
        jax.tree.map(np.testing.assert_array_equal, before, after)
    with pytest.raises(BundleError, match="seeds 0 to 1; came 2"):
        bundle.params_of(2)


@pytest.mark.slow
def test_an_agent_that_scores_actions_alike_serves_more_arms_and_fewer(tmp_path):
    for cell, serves in (("associative", True), ("attention", False), ("gru", False)):
        algorithm = algorithms.make("rl2", DISTRIBUTION.spec, hidden_size=8, cell=cell)
        params = jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 1))
        bundle = load_bundle(save_bundle(tmp_path / cell, algorithm, params, distribution=DISTRIBUTION))
        for arms in (2, 7):
            others = tasks.make("bernoulli-bandit", arms=arms, pulls=12)
            if not serves:
                with pytest.raises(SpecError, match="action_space"):
                    bundle.agent_for(others.spec)
                continue
            agent, task = bundle.agent_for(others.spec), others.sample("test", jax.random.key(1))
            lifetime, _ = run_lifetime(agent, others, bundle.params_of(), task, jax.random.key(2))
            assert set(np.unique(lifetime.decision.action)) <= set(range(arms))
            assert lifetime.decision.extras["policy"].logits.shape == (12, arms)


def test_the_tasks_are_those_of_training_or_those_that_are_named(path):
    bundle = load_bundle(path)
    assert bundle.origin() == ("bernoulli-bandit", {"arms": 3, "pulls": 6})
    assert bundle.distribution().config == DISTRIBUTION.config
    assert bundle.distribution("bernoulli-bandit", pulls=9).config == {"arms": 3, "pulls": 9}
    assert bundle.distribution("dependent-bandit").config == tasks.make("dependent-bandit").config
    with pytest.raises(UnknownNameError, match="Did you mean 'pulls'"):
        bundle.distribution(pull=9)


def test_a_file_that_a_bundle_names_is_run_only_if_it_is_named_again(tmp_path, algorithm, params):
    file = tmp_path / "mine.py"
    file.write_text("from quickstudy import tasks\n\ndef make():\n    return tasks.make('bernoulli-bandit', arms=3, pulls=6)\n")
    named = f"{file}:make"
    bundle = load_bundle(save_bundle(tmp_path / "bundle", algorithm, params, distribution=tasks.make(named)))
    with pytest.raises(UsageError, match="a file that is run only if you name it"):
        bundle.distribution()
    assert bundle.distribution(named).name == named


def test_a_truncated_file_is_refused(path):
    file = path / "parameters.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError, match="truncated or altered"):
        load_bundle(path)


def test_a_card_that_is_cut_off_is_refused(path):
    card = path / "bundle.json"
    card.write_text(card.read_text()[:50])
    with pytest.raises(BundleError, match="does not parse"):
        load_bundle(path)


def test_parameters_of_another_size_are_named(path):
    file, card = path / "parameters.safetensors", path / "bundle.json"
    tensors = load_file(file)
    tensors["network.value.weight"] = np.ascontiguousarray(tensors["network.value.weight"][..., :2])
    save_file(tensors, file)
    content = json.loads(card.read_text()) | {"parameters_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    card.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"network.value.weight must be float32\[1, 8\] per seed; came float32\[1, 2\]"):
        load_bundle(path)


def test_an_algorithm_that_is_gone_is_named(path):
    card = path / "bundle.json"
    content = json.loads(card.read_text())
    content["algorithm"]["name"] = "rl3"
    card.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="'rl3' is not one of quickstudy's"):
        load_bundle(path)


def test_a_file_that_a_bundle_names_is_not_run(path, tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('this file was run')\n")
    card = path / "bundle.json"
    content = json.loads(card.read_text())
    content["algorithm"]["name"] = f"{trap}:make"
    card.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="If it is a file that you trust, name it"):
        load_bundle(path)


def test_nothing_that_is_not_a_bundle_is_replaced(tmp_path, algorithm, params):
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="not a bundle"):
        save_bundle(tmp_path / "mine", algorithm, params, distribution=DISTRIBUTION)


@pytest.mark.slow
def test_an_agent_whose_card_knows_no_scale_measures_observations_by_their_bounds(tmp_path):
    poles = tasks.make("pendulum", horizon=5, episodes=2)
    algorithm = algorithms.make("rl2", poles.spec, hidden_size=4, observation_scale="bounds")
    params = jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 1))
    path = save_bundle(tmp_path / "bundle", algorithm, params, distribution=poles)
    card = json.loads((path / "bundle.json").read_text())
    assert card["algorithm"]["config"].pop("observation_scale") == "bounds"
    (path / "bundle.json").write_text(json.dumps(card))
    assert load_bundle(path).params.statistics.scaled_by == "bounds"
    new = algorithms.make("rl2", poles.spec, hidden_size=4)
    params = jax.vmap(new.agent.init)(jax.random.split(jax.random.key(0), 1))
    loaded = load_bundle(save_bundle(tmp_path / "new", new, params, distribution=poles))
    assert loaded.params.statistics.scaled_by == "seen"
    assert loaded.card["algorithm"]["config"]["observation_scale"] == "seen"
