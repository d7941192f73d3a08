"""Spaces of actions: which are taken, how a policy chooses in them, and what user code gets."""

import collections
import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.protocol.action_spaces import (
    check_action_space,
    is_choice,
    narrow_actions,
    to_declared,
    user_action,
    user_actions,
    whole_numbers,
)
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.spaces import describe_space, encode, flat_size, space_from_description

spaces = gymnasium.spaces
PANEL = spaces.Dict(
    keys=spaces.Tuple([spaces.Discrete(2, start=4), spaces.MultiDiscrete([[2, 3]], start=[[1, -1]])]),
    lamps=spaces.MultiBinary([2, 2]),
    lever=spaces.Box(-1.0, 1.0, ()),
)
ELEMENT = {
    "keys": (jnp.int32(5), jnp.int32([[2, 0]])),
    "lamps": jnp.int8([[0, 1], [1, 1]]),
    "lever": jnp.float32(0.5),
}


def test_a_space_of_parts_survives_being_described():
    assert space_from_description(json.loads(json.dumps(describe_space(PANEL)))) == PANEL


def test_the_order_in_which_a_dict_was_written_has_no_effect():
    parts = [("b", spaces.Discrete(2)), ("a", spaces.Discrete(3))]
    written, again = (spaces.Dict(collections.OrderedDict(each)) for each in (parts, parts[::-1]))
    element = {"a": jnp.int32(1), "b": jnp.int32(1)}
    for space in (written, again, space_from_description(describe_space(written))):
        np.testing.assert_array_equal(encode(element, space), [0, 1, 0, 0, 1])


def test_parts_are_encoded_one_after_another():
    assert flat_size(PANEL) == 2 + 5 + 4 + 1
    encoded = [0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0.5]
    np.testing.assert_array_equal(encode(ELEMENT, PANEL), encoded)
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), ELEMENT)
    np.testing.assert_array_equal(encode(twice, PANEL), [encoded, encoded])


def test_user_code_gets_what_gymnasium_would_give():
    action = user_action(ELEMENT, PANEL)
    assert PANEL.contains(action)
    assert isinstance(action["keys"], tuple)
    assert type(action["keys"][0]) is int
    assert action["keys"][1].dtype == np.int64
    assert (action["lamps"].dtype, action["lever"].shape) == (np.int8, ())
    two = user_actions(jax.tree.map(lambda leaf: np.stack([leaf, leaf]), ELEMENT), PANEL)
    assert len(two) == 2
    assert all(PANEL.contains(one) for one in two)
    two[0]["lamps"][:] = 0
    assert two[1]["lamps"].any()


def test_wide_types_are_narrowed_for_agents_and_restored_for_environments():
    declared = spaces.Tuple(
        [spaces.MultiDiscrete([3, 2]), spaces.Box(-0.1, 0.1, (2,), np.float64), spaces.Box(0, 9, (1,), np.uint64)]
    )
    narrow = narrow_actions(declared)
    assert [part.dtype for part in narrow.spaces] == [np.int32, np.float32, np.int32]
    highest = user_action((np.int32([2, 1]), np.float32([0.1, -0.1]), np.int32([9])), narrow)
    assert not declared.spaces[1].contains(np.float64(highest[1]))  # 32 bits round 0.1 up
    assert declared.contains(to_declared(declared)(highest))
    assert to_declared(spaces.Box(-1, 1, (2,))) is None
    assert to_declared(spaces.Discrete(3)) is None


@pytest.mark.parametrize(
    ("low", "high", "kind", "how"),
    [
        (0, 9, np.int32, "ids"),
        (-128, 127, np.int8, "ordered"),
        (0, 255, np.uint8, "ordered"),
        (-1000, 1000, np.int64, "rounded"),
        (0, 1, np.float32, None),
    ],
)
def test_how_whole_numbers_are_chosen(low, high, kind, how):
    space = spaces.Box(low, high, (2,), kind)
    check_action_space(space)
    assert whole_numbers(space) == how
    assert is_choice(space) == (how == "ids")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(-np.inf, 1, (2,)), "number 1 of .* lies between -inf and 1"),
        (spaces.Box(np.float32([0, 0]), np.float32([1, 3e38])), "number 2 of .* lies between 0 and 3e"),
        (spaces.Box(0, 8_000_000_000, (1,), np.int64), "within ±16,777,216 for whole numbers"),
        (spaces.Box(0, 2**31 - 1, (1,), np.int32), "within ±16,777,216 for whole numbers"),
        (spaces.Discrete(2, start=2**40), "must fit 32 bits"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Text(4)]), "must be gymnasium.spaces.Discrete, MultiDiscrete"),
        (spaces.Box(0, 1, (0,)), "one number at least"),
    ],
)
def test_what_agents_cannot_act_in_is_refused_by_name(space, message):
    with pytest.raises(SpecError, match=message):
        narrow_actions(space)
