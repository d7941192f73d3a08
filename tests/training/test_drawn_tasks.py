"""A run does not go on with other tasks than it was started with."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import HostDistribution
from quickstudy.training.drawn_tasks import drawn_tasks
from quickstudy.training.loop import TrainingConfig, meta_train
from quickstudy.training.source_files import user_files

SOURCE = """
import gymnasium
import jax
import jax.numpy as jnp
import quickstudy as qs


def step(task, state, action, key):
    reward = PAYS * (action == task["best"]).astype(jnp.float32)
    never = jnp.asarray(False)
    return state, qs.Outcome(observation=jnp.zeros(SIZE), reward=reward, terminated=never, truncated=never)


def sample(split, key):
    return {"best": jax.random.randint(key, (), 0, ACTIONS - 1), "held_out": jnp.float32(split == "test")}


def make():
    return qs.TaskDistribution(
        name=__file__ + ":make",
        spec=qs.Spec(
            observation_space=gymnasium.spaces.Box(-1, 1, (SIZE,)),
            action_space=gymnasium.spaces.Discrete(ACTIONS),
            horizon=HORIZON,
            episodes=2,
        ),
        sample=sample,
        reset=lambda task, key: (jnp.int32(0), jnp.zeros(SIZE)),
        step=step,
        describe=lambda task: task,
    )
"""
STARTED_WITH = {"SIZE": 2, "ACTIONS": 3, "PAYS": 1.0, "HORIZON": 5}


def written(folder, **numbers):
    """The distribution of a user's file with these numbers, imported anew."""
    text = SOURCE
    for name, number in (STARTED_WITH | numbers).items():
        text = text.replace(name, str(number))
    path = folder / "my_tasks.py"
    path.write_text(text)
    space = {"__file__": str(path)}
    exec(compile(text, str(path), "exec"), space)
    return space["make"]()


def start(folder, distribution, **asked):
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=16)
    config = TrainingConfig(budget="2000 steps", held_out_tasks=16)

    def stop(progress):
        if progress.update == 1:
            os.kill(os.getpid(), signal.SIGINT)

    return meta_train(algorithm, distribution, config, folder=folder / "run", watch=stop, **asked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that was interrupted after its first update."""
    folder = tmp_path_factory.mktemp("changed")
    assert not start(folder, written(folder)).finished
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HORIZON": 7}, "another configuration: horizon was 5, now 7"),
        ({"SIZE": 3}, "another configuration: observation_space was"),
        ({"ACTIONS": 4}, "another configuration: action_space was"),
    ],
)
def test_other_spaces_and_lengths_are_refused_by_name(folder, change, says):
    with pytest.raises(UsageError, match=says):
        start(folder, written(folder, **change), resume=True)


def test_other_tasks_are_refused_by_name(folder):
    changed = written(folder)
    object.__setattr__(changed, "sample", lambda split, key: {"best": jnp.int32(1), "held_out": jnp.float32(split == "test")})
    with pytest.raises(UsageError, match=r"the tasks are not those that the run was started with: .*best of a task was"):
        start(folder, changed, resume=True)


@pytest.mark.slow
def test_another_text_is_said_and_the_run_goes_on(folder, caplog):
    run = start(folder, written(folder, PAYS=2.0), resume=True)
    assert run.metrics[-1]["update"] > 1
    assert "my_tasks.py changed since the run was started." in caplog.text


@pytest.mark.slow
def test_the_same_text_is_not_mentioned(folder, caplog):
    start(folder, written(folder), resume=True)
    assert "changed" not in caplog.text


def test_a_task_is_kept_by_its_names_and_at_most_sixteen_values():
    found = drawn_tasks(tasks.make("bernoulli-bandit", arms=40, pulls=5))
    (leaf,) = [one for name, one in found.items() if name.startswith("train")]
    assert leaf["shape"] == [3, 40]
    assert len(leaf["values"]) == 16
    assert found == drawn_tasks(tasks.make("bernoulli-bandit", arms=40, pulls=5))


def outside(sample):
    spec = tasks.make("bernoulli-bandit", arms=2, pulls=5).spec
    return HostDistribution(name="mine.py:make", spec=spec, sample=sample, open=lambda: None)


def test_tasks_outside_jax_are_kept_unless_their_draws_do_not_follow_the_key():
    follows = drawn_tasks(outside(lambda split, generator: {"mass": generator.uniform(), "kind": 3}))
    assert set(follows) == {"train.mass", "train.kind", "test.mass", "test.kind"}
    assert follows["train.kind"]["values"] == [3, 3, 3]
    assert drawn_tasks(outside(lambda split, generator: {"mass": np.random.default_rng().uniform()})) == {}


def test_a_task_may_hold_a_random_key():
    bandit = tasks.make("bernoulli-bandit", arms=2, pulls=5)
    object.__setattr__(bandit, "sample", lambda split, key: {"key": key})
    assert set(drawn_tasks(bandit)) == {"train.key", "test.key"}


def test_only_files_of_the_user_are_named(folder):
    distribution = written(folder)
    assert set(user_files(distribution)) == {"my_tasks.py"}
    assert not user_files(tasks.make("bernoulli-bandit"))
