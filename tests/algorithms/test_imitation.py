"""RL² with a teacher: what is imitated, when, and what comes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError
from quickstudy.storage.bundle import load_bundle, save_bundle
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.sources import source_for
from quickstudy.training.update import initial_state, run_update, update_program

SMALL = {"hidden_size": 32, "lifetimes": 128, "learning_rate": 5e-3, "minibatches": 2}


@pytest.mark.learning
def test_imitation_alone_comes_close_to_the_teacher():
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=10)
    algorithm = algorithms.make("rl2", bandits.spec, teacher="bayes-optimal", imitation=1.0, **SMALL)
    run = meta_train(algorithm, bandits, TrainingConfig(budget="120000 steps", held_out_tasks=8, evaluation_seconds=600.0))
    agents = {
        "student": Contender(agent=algorithm.agent, params=run.params, trained=True),
        "teacher": contender(bandits.baselines["Bayes optimum (exact)"]()),
        "random": contender(bandits.baselines["random"]()),
    }
    measured = evaluate(agents, bandits, split="test", tasks=2000)
    mean = {name: result.lifetime_return.value for name, result in measured.results.items()}
    assert mean["student"] > mean["random"] + 0.8 * (mean["teacher"] - mean["random"])


@pytest.mark.slow
def test_the_teacher_decides_on_what_the_student_lived():
    """The weight of imitation is one at the start and nothing at its end: then the teacher changes no update."""
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=4)
    alone = algorithms.make("rl2", bandits.spec, **SMALL)
    taught = algorithms.make("rl2", bandits.spec, teacher="greedy", imitation=0.5, **SMALL)
    begun, ended = zip(*(tuple(updated(algorithm, bandits, (0.0, 0.7))) for algorithm in (alone, taught)), strict=True)
    assert not np.array_equal(*begun)
    np.testing.assert_allclose(*ended, rtol=1e-6, atol=1e-8)  # two programs round differently


def updated(algorithm, distribution, progresses):
    """One leaf of the policy after one update from the first state, for each progress."""
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, distribution, tasks=1)
    program = update_program(algorithm, source)
    for progress in progresses:
        state = initial_state(algorithm, source, roots)
        state, _ = run_update(program, source, state, roots, 0, progress)
        yield np.asarray(state.train.params.network.score.weight)


def test_a_teacher_that_is_not_there_or_cannot_play_is_named_before_a_folder_is_made(tmp_path):
    short, long = tasks.make("bernoulli-bandit", arms=3, pulls=10), tasks.make("bernoulli-bandit", arms=5, pulls=100)
    for bandits, teacher, error, says in (
        (short, "gittins", UnknownNameError, "gittins-index"),
        (long, "bayes-optimal", SpecError, "100"),
    ):
        algorithm = algorithms.make("rl2", bandits.spec, teacher=teacher, **SMALL)
        with pytest.raises(error, match=says):
            meta_train(algorithm, bandits, TrainingConfig(budget="100 steps"), folder=tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="imitation"):
        algorithms.make("rl2", short.spec, teacher="greedy", imitation=0.0)


def test_loading_a_taught_agent_runs_no_file_that_its_bundle_names(tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\ndef make(spec): ...\n")
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=4)
    algorithm = algorithms.make("rl2", bandits.spec, teacher=f"{trap}:make", **SMALL)
    params = jax.tree.map(lambda leaf: leaf[None], algorithm.agent.init(jax.random.key(0)))
    loaded = load_bundle(save_bundle(tmp_path / "bundle", algorithm, params, distribution=bandits))
    assert loaded.card["algorithm"]["config"]["teacher"] == f"{trap}:make"
    assert not (tmp_path / "sprung").exists()
