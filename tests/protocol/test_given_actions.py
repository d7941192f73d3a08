"""Actions from outside: elements of their space, or refused by name."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.numerics.distributions import policy_over
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.given_actions import GivenActions, check_allowed, taken_instead
from quickstudy.protocol.records import Decision, Spec

DISCRETE, BOX = gymnasium.spaces.Discrete(3, start=2), gymnasium.spaces.Box(-1, 1, (2,))
BITS, IDS = gymnasium.spaces.MultiBinary(2), gymnasium.spaces.MultiDiscrete([2, 3])
TUPLE = gymnasium.spaces.Tuple((DISCRETE, BOX))
DICT = gymnasium.spaces.Dict({"b": DISCRETE, "a": BOX})


@pytest.mark.parametrize("space", [DISCRETE, BOX, BITS, IDS, TUPLE, DICT], ids=str)
def test_samples_of_a_space_are_actions(space):
    space.seed(0)
    for _ in range(5):
        sample = space.sample()
        cast = GivenActions(space).cast(sample)
        np.testing.assert_equal(cast, sample)


@pytest.mark.parametrize(
    ("space", "came"),
    [
        (DISCRETE, 5), (DISCRETE, 1), (DISCRETE, 2.5), (DISCRETE, "left"), (BOX, [0.0]), (BOX, [0.0, 1.5]), (BOX, [np.nan, 0]),
        (BITS, [0, 2]), (IDS, [0, 3]), (TUPLE, 2), (TUPLE, (2,)), (DICT, {"a": [0.0, 0.0]}), (DICT, [2, [0.0, 0.0]]),
    ],
)  # fmt: skip
def test_what_is_no_element_is_refused_by_name(space, came):
    with pytest.raises(SpecError, match=r"an action must be an element of .+; came .+ Nothing was changed\."):
        GivenActions(space).cast(came)


def test_rounding_is_cut_to_the_bounds():
    assert GivenActions(BOX).cast([1.00001, -1.00001]).tolist() == [1.0, -1.0]


def test_a_forbidden_action_is_refused():
    spec = Spec(
        observation_space=gymnasium.spaces.Box(0, 1, (3,)), action_space=DISCRETE, horizon=1, episodes=1, action_mask=True
    )
    seen = np.array([1.0, 0.0, 1.0], np.float32)
    check_allowed(np.int32(4), seen, spec)
    with pytest.raises(SpecError, match=r"forbids action 3; it allows 2, 4\."):
        check_allowed(np.int32(3), seen, spec)


def test_the_log_probability_is_that_of_the_taken_action():
    policy = policy_over(jnp.log(jnp.array([0.5, 0.25, 0.25])), DISCRETE)
    decision = Decision(
        action=jnp.int32(2), extras={"policy": policy, "log_probability": jnp.log(0.5), "value": jnp.float32(7)}
    )
    taken = taken_instead(decision, jnp.int32(3))
    assert taken.action == 3
    np.testing.assert_allclose(taken.extras["log_probability"], np.log(0.25), rtol=1e-6)
    assert taken.extras["value"] == 7
    alone = Decision(action=jnp.int32(2), extras={"log_probability": jnp.float32(-1)})
    assert taken_instead(alone, jnp.int32(2)).extras["log_probability"] == -1
    assert np.isnan(taken_instead(alone, jnp.int32(3)).extras["log_probability"])
