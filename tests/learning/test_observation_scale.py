"""A cue is learned from whatever its bounds say, and after one observation that is huge."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import algorithms
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.training.loop import TrainingConfig, meta_train

ANSWERS = 10


def cues(*, bound: float, glitch: float = 0.0, rate: float = 0.0) -> TaskDistribution:
    """A cue of -1 or +1; the action of its side pays one. An agent that sees earns 10, a blind one 5."""

    def look(key):
        key_side, key_glitch = jax.random.split(key)
        side = jax.random.bernoulli(key_side).astype(jnp.int32)
        cue = jnp.where(jax.random.uniform(key_glitch) < rate, glitch, 2.0 * side.astype(jnp.float32) - 1.0)
        return side, cue[None]

    def reset(task, key):
        side, cue = look(key)
        return side, cue

    def step(task, state, action, key):
        side, cue = look(key)
        return side, Outcome(observation=cue, reward=action == state, terminated=False, truncated=False)

    return TaskDistribution(
        name="cues",
        spec=Spec(
            observation_space=gymnasium.spaces.Box(-bound, bound, (1,)),
            action_space=gymnasium.spaces.Discrete(2),
            horizon=ANSWERS,
            episodes=1,
        ),
        sample=lambda split, key: jax.random.uniform(key) + float(split == "test"),
        reset=reset,
        step=step,
        describe=lambda task: {"number": task},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rl2", {"hidden_size": 16, "lifetimes": 64}),
        ("multi-task", {"fine_tunes": False, "rollouts": 1}),
    ],
)
@pytest.mark.parametrize(
    "tasks",
    [{"bound": 1e4}, {"bound": float(np.finfo(np.float32).max)}, {"bound": np.inf, "glitch": 1e20, "rate": 0.002}],
    ids=["wide bounds", "largest bounds", "glitches"],
)
def test_a_cue_is_learned(tasks, name, settings):
    distribution = cues(**tasks)
    algorithm = algorithms.make(name, distribution.spec, **settings)
    run = meta_train(algorithm, distribution, TrainingConfig(budget="4e4 steps", held_out_tasks=128))
    assert run.metrics[-1]["held_out_return"][0] > 9.0
