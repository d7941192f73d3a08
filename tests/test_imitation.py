"""RL² with a teacher: what is imitated, when, and what comes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.errors import SpecError, UnknownNameError, UsageError
from quickstudy.evaluation import Contender, contender, evaluate
from quickstudy.meta_training import TrainingConfig, meta_train
from quickstudy.outer_program import initial_state, train_program

SMALL = {"hidden_size": 32, "lifetimes": 128, "learning_rate": 5e-3, "minibatches": 2}


@pytest.mark.learning
def test_imitation_alone_comes_close_to_the_teacher():
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=10)
    algorithm = algorithms.make("rl2", bandits.spec, teacher="bayes-optimal", imitation=1.0, **SMALL)
    run = meta_train(algorithm, bandits, TrainingConfig(budget="120000 steps", held_out_tasks=8, look_seconds=600.0))
    agents = {
        "student": Contender(agent=algorithm.agent, params=run.params, trained=True),
        "teacher": contender(bandits.baselines["Bayes optimum (exact)"]()),
        "random": contender(bandits.baselines["random"]()),
    }
    measured = evaluate(agents, bandits, split="test", tasks=2000)
    mean = {name: result.lifetime_return.value for name, result in measured.results.items()}
    assert mean["student"] > mean["random"] + 0.8 * (mean["teacher"] - mean["random"])


def test_the_teacher_decides_on_what_the_student_lived():
    """The weight of imitation is one at the start and nothing at its end: then the teacher changes no update."""
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=4)
    alone = algorithms.make("rl2", bandits.spec, **SMALL)
    taught = algorithms.make("rl2", bandits.spec, teacher="greedy", imitation=0.5, **SMALL)
    after = {progress: [updated(algorithm, bandits, progress) for algorithm in (alone, taught)] for progress in (0.0, 0.7)}
    assert not np.array_equal(*after[0.0])
    np.testing.assert_allclose(*after[0.7], rtol=1e-6)


def updated(algorithm, distribution, progress):
    """One leaf of the policy after one update at a given progress."""

    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    state = initial_state(algorithm, roots)
    state, _ = train_program(algorithm, distribution)(state, roots, jnp.uint32(0), jnp.float32(progress))
    return np.asarray(state.params.network.policy.bias)


def test_a_teacher_that_is_not_there_or_cannot_play_is_named():
    bandits = tasks.make("bernoulli-bandit", arms=3, pulls=10)
    with pytest.raises(UnknownNameError, match="gittins-index"):
        algorithms.make("rl2", bandits.spec, teacher="gittins")
    with pytest.raises(UsageError, match="imitation"):
        algorithms.make("rl2", bandits.spec, teacher="greedy", imitation=0.0)
    with pytest.raises(SpecError):
        algorithms.make("rl2", tasks.make("bernoulli-bandit", arms=5, pulls=100).spec, teacher="bayes-optimal")
