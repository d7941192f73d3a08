import dataclasses
import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Spec, Transition, record, spec_from_description
from quickstudy.protocol.spaces import describe_space, flat_size, space_from_description

DISCRETE = gymnasium.spaces.Discrete(3, start=1)
BOX = gymnasium.spaces.Box(np.float32([[-1.0, 0.0]]), np.float32([[1.0, np.inf]]))
ACTIONS = gymnasium.spaces.Box(-2.0, 2.0, (2,))
SYMBOLS = gymnasium.spaces.MultiDiscrete([[2, 3], [4, 5]], dtype=np.uint8, start=[[0, 1], [0, 0]])


def test_a_lifetime_has_horizon_times_episodes_slots():
    assert Spec(observation_space=BOX, action_space=DISCRETE, horizon=5, episodes=3).lifetime_steps == 15


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"episodes": -1}, {"horizon": 2.0}])
def test_lengths_below_one_are_turned_away(wrong):
    right = {"observation_space": BOX, "action_space": DISCRETE, "horizon": 1, "episodes": 1}
    with pytest.raises(SpecError, match="whole number of 1 or more"):
        Spec(**(right | wrong))


@pytest.mark.parametrize("space", [gymnasium.spaces.MultiBinary(2), 4, None])
def test_other_spaces_are_turned_away(space):
    with pytest.raises(SpecError, match="Discrete or Box"):
        Spec(observation_space=space, action_space=DISCRETE, horizon=1, episodes=1)


def test_several_choices_may_be_seen_and_done():
    spec = Spec(observation_space=SYMBOLS, action_space=SYMBOLS, horizon=1, episodes=1)
    assert spec_from_description(json.loads(json.dumps(spec.describe()))) == spec
    with pytest.raises(SpecError, match="action_mask needs Discrete actions"):
        dataclasses.replace(spec, action_mask=True)


def test_unbounded_actions_are_turned_away():
    with pytest.raises(SpecError, match="bounded on both sides"):
        Spec(observation_space=BOX, action_space=BOX, horizon=1, episodes=1)


@pytest.mark.parametrize("space", [DISCRETE, BOX, ACTIONS, SYMBOLS])
def test_spaces_survive_being_described(space):
    again = space_from_description(json.loads(json.dumps(describe_space(space))))
    assert again == space
    assert again.dtype == space.dtype


@pytest.mark.parametrize(("space", "size"), [(DISCRETE, 3), (BOX, 2), (ACTIONS, 2), (SYMBOLS, 14)])
def test_flat_sizes(space, size):
    assert flat_size(space) == size


def test_equal_specs_describe_themselves_equally():
    specs = [Spec(observation_space=BOX, action_space=DISCRETE, horizon=h, episodes=2) for h in (3, 3, 4)]
    assert specs[0].describe() == specs[1].describe() != specs[2].describe()


def test_records_are_frozen_trees_of_their_fields():
    @record
    class Pair:
        left: jax.Array
        right: jax.Array

    pair = Pair(left=jnp.ones(2), right=jnp.zeros(3))
    assert [leaf.shape for leaf in jax.tree.leaves(pair)] == [(2,), (3,)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.left = 0
    with pytest.raises(TypeError):
        Pair(jnp.ones(2), jnp.zeros(3))


def test_a_boundary_is_an_end_of_either_kind():
    flags = {"terminated": jnp.array([True, False, False]), "truncated": jnp.array([False, True, False])}
    lifetime = Transition(
        observation=jnp.zeros(3),
        decision=Decision(action=jnp.zeros(3), extras={}),
        outcome=Outcome(observation=jnp.zeros(3), reward=jnp.zeros(3), **flags),
        episode=jnp.zeros(3, jnp.int32),
        valid=jnp.ones(3, bool),
    )
    np.testing.assert_array_equal(lifetime.boundary, [True, True, False])
