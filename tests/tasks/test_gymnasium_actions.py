"""Environments as users bring them: what their `step` and `make` are given, in checks and in training."""

import random
from typing import ClassVar

import gymnasium
import jax
import numpy as np
import pytest

import quickstudy as qs
from quickstudy.protocol.errors import SpecError, TaskDistributionError
from quickstudy.rollout.collecting.config import CollectingConfig

spaces = gymnasium.spaces
INLINE = CollectingConfig(collectors="inline")
SMALL = {"cell": "gru", "hidden_size": 4, "lifetimes": 8, "minibatches": 1, "epochs": 1}


class Machine(gymnasium.Env):
    """Records what it is given, and pays where the first number of an action is near the hidden one."""

    observation_space = spaces.Discrete(1)
    taken: ClassVar[list] = []

    def __init__(self, best):
        self.best = best

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        self.taken.append(action)
        leaf = jax.tree.leaves(action)[0]
        return 0, -abs(float(np.ravel(leaf)[0]) - self.best), False, False, {}


def machines(action_space):
    class Here(Machine):
        taken: ClassVar[list] = []

    Here.action_space = action_space
    draw = lambda split, generator: {"best": float(generator.uniform()) + (split == "test")}  # noqa: E731
    return Here, qs.from_gymnasium(lambda task: Here(task["best"]), draw, episodes=2, horizon=4)


def trained(distribution, name="rl2", **settings):
    algorithm = qs.algorithms.make(name, distribution.spec, **(settings or SMALL))
    config = qs.TrainingConfig(budget="64 steps", held_out_tasks=8)
    return algorithm, qs.meta_train(algorithm, distribution, config, collecting=INLINE)


MIXED = spaces.Tuple(
    [spaces.MultiDiscrete([3, 2], start=[4, 0]), spaces.Box(0, 300, (1,), np.int64), spaces.Box(-0.1, 0.1, (), np.float64)]
)


@pytest.mark.slow
def test_every_action_lies_in_the_declared_space_in_training_and_in_service():
    environment, distribution = machines(MIXED)
    algorithm, run = trained(distribution)
    assert len(environment.taken) > 50
    assert all(MIXED.contains(action) for action in environment.taken)
    assert np.isfinite(run.metrics[-1]["held_out_return"])
    actor = qs.Actor(algorithm.agent, jax.tree.map(lambda leaf: leaf[0], run.params))
    action = actor.act(0)
    assert isinstance(action, tuple)
    assert distribution.spec.action_space.contains(action)
    actor.observe(reward=1.0, observation=0)
    assert distribution.spec.action_space.contains(actor.act(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiBinary(4),
        spaces.Box(-128, 127, (2,), np.int8),
        spaces.Box(0, 9, (2,), np.int32),
        spaces.Box(np.float32([-1, 0]), np.float32([1, 0])),
        spaces.Box(-1, 1, (2, 2)),
        spaces.Dict(a=spaces.Discrete(3, start=2), b=spaces.MultiBinary(2)),
    ],
    ids=str,
)
def test_check_and_training_give_elements_of_the_space(space):
    environment, distribution = machines(space)
    faults = [fault.what for fault in qs.check(distribution, samples=300, budget_seconds=2.0) if not fault.warning]
    assert not faults
    trained(distribution)
    assert all(space.contains(action) for action in environment.taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rl2", "maml", "pearl"])
def test_an_action_with_a_part_that_cannot_move_is_learned_with(name):
    space = spaces.Box(np.float32([-1, 0]), np.float32([1, 0]))
    environment, distribution = machines(space)
    settings = {"rl2": SMALL, "maml": {"rollouts": 1, "lifetimes": 8}, "pearl": {"lifetimes": 8}}[name]
    _, run = trained(distribution, name, **settings)
    assert np.isfinite(run.metrics[-1]["held_out_return"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))
    assert all(action[1] == 0 for action in environment.taken)


@pytest.mark.parametrize("space", [spaces.MultiBinary(2), spaces.Box(0, 9, (1,), np.int32)], ids=str)
def test_soft_actor_critic_refuses_in_words(space):
    with pytest.raises(SpecError, match=r"pearl needs Discrete actions or a Box of fractions.*Use rl2"):
        qs.algorithms.make("pearl", machines(space)[1].spec)


def test_tasks_arrive_in_the_types_that_they_were_drawn_in():
    def make(task):
        assert type(task["seed"]) is int
        assert type(task["share"]) is float
        environment = machines(spaces.Discrete(2))[0](random.Random(task["seed"]).random() * task["share"])
        return environment

    def draw(split, generator):
        return {"seed": int(generator.integers(1000)) + 1000 * (split == "test"), "share": float(generator.uniform(1, 2))}

    distribution = qs.from_gymnasium(make, draw, episodes=2, horizon=4)
    assert not [fault.what for fault in qs.check(distribution, samples=300, budget_seconds=2.0) if not fault.warning]
    pool_tasks = distribution.sample_tasks("train", jax.random.key(0), tasks=2)
    environment = distribution.open()
    environment.begin(distribution.as_drawn(jax.tree.map(lambda leaf: leaf[1], pool_tasks)), np.zeros(2, np.uint32))
    environment.close()


def shelves(observations, actions):
    """Environments whose spaces depend on the task."""

    class Warehouse(Machine):
        def __init__(self, task):
            super().__init__(0.0)
            self.shelves = task["shelves"]
            self.observation_space = spaces.Box(0, 1, (self.shelves if observations else 1,))
            self.action_space = spaces.Discrete(self.shelves if actions else 2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(self.observation_space.shape, np.float32), {}

        def step(self, action):
            return np.zeros(self.observation_space.shape, np.float32), float(action == 0), False, False, {}

    draw = lambda split, generator: {"shelves": int(generator.integers(3, 6)), "mark": float(split == "test")}  # noqa: E731
    return qs.from_gymnasium(Warehouse, draw, episodes=1, horizon=3)


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (True, False, r"observation_space of one task is Box\(\d,\), that of another Box\(\d,\)"),
        (False, True, r"action_space of one task is Discrete\(\d\), that of another Discrete\(\d\)"),
    ],
)
def test_tasks_of_different_sizes_are_refused_by_name(observations, actions, message):
    distribution = shelves(observations, actions)
    faults = " ".join(fault.what for fault in qs.check(distribution, samples=300, budget_seconds=2.0))
    assert "pad observations to the largest" in faults
    environment = distribution.open()
    size = max(distribution.spec.observation_space.shape[0], int(distribution.spec.action_space.n))
    others = {"shelves": 4 if size == 3 else 3, "mark": 0.0}
    with pytest.raises(TaskDistributionError, match=message):
        environment.begin(others, np.zeros(2, np.uint32))


def test_actions_that_a_smaller_task_lacks_are_forbidden_by_a_mask():
    class Shop(Machine):
        observation_space, action_space = spaces.Box(0, 1, (4,)), spaces.Discrete(4)

        def look(self):
            return np.float32([1, 1, self.best > 0.5, 0])

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.look(), {}

        def step(self, action):
            assert action < 3
            return self.look(), float(action), False, False, {}

    draw = lambda split, generator: {"best": float(generator.uniform()) + 0.5 * (split == "test")}  # noqa: E731
    distribution = qs.from_gymnasium(lambda task: Shop(task["best"]), draw, episodes=1, horizon=3, action_mask=True)
    assert distribution.spec.action_mask
    with pytest.raises(SpecError, match="action_mask needs Discrete actions"):
        qs.from_gymnasium(lambda task: machines(spaces.MultiBinary(2))[0](0.0), draw, episodes=1, horizon=3, action_mask=True)
