"""One lifetime for people to look at: its columns fit each other, are stored, and what is damaged is refused."""

import json

import gymnasium
import jax
import numpy as np
import pytest

import quickstudy as qs
from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.evaluation.example_lifetime import FILE, MOST_STEPS, ExampleLifetime, example_lifetime
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.collecting.config import CollectingConfig

INLINE = CollectingConfig(collectors="inline", parallel_environments=1)
BANDITS = qs.tasks.make("bernoulli-bandit", arms=3, pulls=12)


@pytest.fixture(scope="module")
def thompson():
    agent = qs.contender(BANDITS.baselines["Thompson sampling"]())
    return example_lifetime("Thompson sampling", agent, BANDITS, split="test", tasks=5)


def test_it_holds_what_the_agent_did_and_believed(thompson):
    assert thompson.slots == tuple(range(12))
    assert thompson.choices == 3
    assert set(thompson.rewards) <= {0.0, 1.0}
    (means,), (deviations,) = (tuple(found.values()) for found in (thompson.beliefs, thompson.deviations))
    # Before the first pull every arm has the uniform prior; after it, one arm's probability is 1/3 or 2/3.
    np.testing.assert_allclose(means[0], [0.5] * 3)
    np.testing.assert_allclose(deviations[0], [12**-0.5] * 3, rtol=1e-5)
    expected = [0.5] * 3
    expected[int(thompson.actions[0][0])] = (1 + thompson.rewards[0]) / 3
    np.testing.assert_allclose(means[1], expected, rtol=1e-5)


def test_it_is_the_first_task_of_the_list(thompson):
    task = jax.tree.map(lambda leaf: leaf[0], draw_tasks(BANDITS, split="test", tasks=5, seed=0)[0])
    (named,) = BANDITS.describe(task).values()
    assert list(thompson.task.values()) == [" ".join(f"{number:.3g}" for number in np.asarray(named))]


def test_it_comes_back_from_disk_and_damage_is_refused(thompson, tmp_path):
    path = thompson.save(tmp_path)
    assert path.name == FILE
    found = ExampleLifetime.load(path)
    assert found.slots == thompson.slots
    np.testing.assert_allclose(found.actions, thompson.actions)
    for damage in ({"rewards": [1.0]}, {"slots": []}, {"actions": [[1.0], [1.0, 2.0]] + [[0.0]] * 10}, {"deviations": {}}):
        path.write_text(json.dumps(json.loads(thompson.save(tmp_path).read_text()) | damage))
        with pytest.raises(UsageError, match="do not fit each other"):
            ExampleLifetime.load(path)
    path.write_text(json.dumps(json.loads(thompson.save(tmp_path).read_text()) | {"format": 7}))
    with pytest.raises(UsageError, match="format 7; this version reads format 1"):
        ExampleLifetime.load(path)


class Paying(gymnasium.Env):
    """Every step brings the mass; the first episode of a lifetime ends after two steps, the other lasts for three."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, task):
        self.mass, self.episode = float(task["mass"]), -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.episode = 0, self.episode + 1
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), self.mass, self.episode == 0 and self.steps == 2, False, {}


def test_tasks_outside_jax_have_one_too():
    """It is the lifetime that `evaluate` measures, and steps that an early end leaves out are no steps."""
    robots = qs.from_gymnasium(Paying, lambda split, generator: {"mass": generator.choice([1.0, 2.0])}, episodes=2, horizon=3)
    found = example_lifetime(
        "random", qs.contender(random_agent(robots.spec)), robots, split="test", tasks=4, collecting=INLINE
    )
    mass = float(draw_tasks(robots, split="test", tasks=4, seed=0)[0]["mass"][0])
    assert found.task == {"mass": f"{mass:.3g}"}
    assert found.slots == (0, 1, 3, 4, 5)
    assert found.rewards == (mass,) * 5
    assert {action for (action,) in found.actions} <= {0.0, 1.0}
    assert not found.cut


def test_a_long_lifetime_is_cut():
    long = qs.tasks.make("bernoulli-bandit", arms=2, pulls=MOST_STEPS + 1)
    found = example_lifetime("random", qs.contender(random_agent(long.spec)), long, split="test", tasks=2)
    assert (len(found.slots), found.cut) == (MOST_STEPS, True)
