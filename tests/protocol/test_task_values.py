"""Tasks of a user's own types: stacked as arrays, hashed by name, and given back as they were drawn."""

import dataclasses
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.host_distribution import HostDistribution, named_leaves
from quickstudy.protocol.records import Spec
from quickstudy.protocol.task_distribution import TaskDistribution

SPEC = Spec(observation_space=gymnasium.spaces.Discrete(1), action_space=gymnasium.spaces.Discrete(2), horizon=1, episodes=1)


@dataclasses.dataclass(frozen=True)
class Crane:
    """Checks itself, and computes a field and an attribute from the others."""

    mass: float
    ropes: int
    weight: float = dataclasses.field(init=False)

    def __post_init__(self):
        if not 0.0 < self.mass < 10.0:
            raise ValueError(f"no such crane: {self.mass}")
        object.__setattr__(self, "weight", 9.81 * self.mass)
        object.__setattr__(self, "label", f"{self.ropes} ropes")


class Pair(NamedTuple):
    one: int
    two: float


def host(draw):
    return HostDistribution(spec=SPEC, sample=lambda split, generator: draw(generator), open=lambda: None)


def round_trip(draw, tasks=3):
    """The first task as it was drawn, and as it comes back from a stack."""
    distribution = host(draw)
    stacked = distribution.sample_tasks("train", jax.random.key(0), tasks=tasks)
    return stacked, distribution.as_drawn(jax.tree.map(lambda leaf: leaf[0], stacked))


def test_numbers_come_back_in_the_types_they_were_drawn_in():
    drawn = {
        "size": 5,
        "wall": True,
        "gravity": 9.81,
        "wide": np.int64(7),
        "part": np.float64(0.5),
        "map": np.arange(4).reshape(2, 2),
        "pair": Pair(3, 0.1),
        "list": [1, 2.0],
        "none": None,
    }
    stacked, back = round_trip(lambda generator: dict(drawn))
    assert {name: leaf.dtype for name, leaf in named_leaves(stacked).items()}["size"] == np.int32
    types = lambda task: [type(leaf) for leaf in jax.tree.leaves(task)]  # noqa: E731
    assert types(back) == types(drawn)
    assert jax.tree.structure(back) == jax.tree.structure(drawn)
    np.testing.assert_array_equal(back["map"], drawn["map"])
    assert back["map"].dtype == drawn["map"].dtype
    assert all(back[name] == drawn[name] for name in drawn if name != "map")  # to the last digit: 9.81 is 9.81


def test_a_whole_number_that_is_a_fraction_in_another_task_keeps_its_part():
    stacked, _ = round_trip(lambda generator: {"x": generator.choice(np.array([1.5, 2.5])).item()})
    assert isinstance(host(lambda generator: {"x": 1}).as_drawn({"x": np.float32(0.5)})["x"], float)
    assert stacked["x"].dtype == np.float32


def test_a_dataclass_that_checks_itself_is_built_around_one_task_alone():
    stacked, back = round_trip(lambda generator: Crane(mass=float(generator.uniform(1, 9)), ropes=int(generator.integers(5))))
    assert stacked.mass.shape == (3,)
    assert sorted(named_leaves(stacked)) == ["mass", "ropes", "weight"]
    assert isinstance(back, Crane)
    assert type(back.ropes) is int
    assert back.label == f"{back.ropes} ropes"
    assert back.weight == 9.81 * back.mass


def test_a_dataclass_that_refuses_a_rounded_number_keeps_its_fields():
    _, back = round_trip(lambda generator: Crane(mass=9.999999999, ropes=2))
    assert (back.mass, back.ropes) == (10.0, 2)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda g: {"plan": np.zeros(int(g.integers(2, 5)))},
            r"plan of a task of 'train' has the shape \(\d,\) in one, \(\d,\) in another",
        ),
        (lambda g: {"path": [0.5] * int(g.integers(1, 4))}, r"one holds path\.\d.*pad it to the largest"),
        (lambda g: {"a": 1} if g.uniform() < 0.5 else {"b": 1}, "one holds [ab], another does not; one holds [ab], another"),
        (lambda g: {"name": "left"}, "name of a task of 'train' is 'left'. Tasks are numbers"),
        (lambda g: {"seed": 2**40}, "seed of a task of 'train' is a whole number beyond 32 bits"),
    ],
)
def test_tasks_that_cannot_be_stacked_are_refused_by_name(draw, message):
    with pytest.raises(TaskDistributionError, match=message):
        host(draw).sample_tasks("train", jax.random.key(0), tasks=20)


@dataclasses.dataclass
class Plain:
    mass: float


def in_jax(sample):
    return TaskDistribution(
        name="plain",
        spec=SPEC,
        sample=sample,
        reset=lambda task, key: (jnp.int32(0), jnp.int32(0)),
        step=lambda task, state, action, key: None,
        describe=lambda task: {},
    )


def test_a_plain_dataclass_is_a_task_in_jax():
    tasks = in_jax(lambda split, key: Plain(mass=jax.random.uniform(key))).sample_tasks("train", jax.random.key(0), tasks=4)
    assert isinstance(tasks, Plain)
    assert tasks.mass.shape == (4,)


def test_what_cannot_be_a_task_in_jax_is_said_in_words():
    with pytest.raises(TaskDistributionError, match="decides in Python on a number that JAX has not computed yet"):
        in_jax(lambda split, key: Crane(mass=jax.random.uniform(key), ropes=1)).sample_tasks(
            "train", jax.random.key(0), tasks=2
        )
    with pytest.raises(TaskDistributionError, match="name of a task of 'train' is 'left'"):
        in_jax(lambda split, key: {"name": "left"}).sample_tasks("train", jax.random.key(0), tasks=2)
