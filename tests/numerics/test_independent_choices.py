"""Policies over several numbers: sums over everything that can be chosen, and samples inside their spaces."""

import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from quickstudy.numerics.distributions import deviation_parameters, policy_over, policy_parameters
from quickstudy.protocol.action_spaces import user_actions

spaces = gymnasium.spaces
CHOICES = {
    "unequal": spaces.MultiDiscrete([3, 1, 2], start=[5, 0, -1]),
    "table": spaces.MultiDiscrete([[2, 2], [2, 2]], dtype=np.uint8),
    "lamps": spaces.MultiBinary(3),
    "ids": spaces.Box(np.array([-1, 4]), np.array([2, 4]), dtype=np.int8),
    "ordered": spaces.Box(np.array([0, 7]), np.array([19, 8]), dtype=np.uint8),
    "parts": spaces.Tuple([spaces.Discrete(3, start=2), spaces.MultiBinary(2)]),
}
QUICK = ("unequal", "ordered", "parts")
"""One of each kind: chosen one by one, chosen in order, and a space of several spaces."""


def everything(space):
    """Every action of a space of choices."""
    if isinstance(space, spaces.Tuple):
        return list(itertools.product(*(everything(part) for part in space.spaces)))
    if isinstance(space, spaces.Discrete):
        return [np.int32(number) for number in range(space.start, space.start + space.n)]
    if isinstance(space, spaces.Box):
        ranges = [range(a, b + 1) for a, b in zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)]
    else:
        counts = space.nvec.ravel() if isinstance(space, spaces.MultiDiscrete) else np.full(space.shape, 2).ravel()
        start = np.broadcast_to(getattr(space, "start", 0), space.shape).ravel()
        ranges = [range(a, a + n) for a, n in zip(start.tolist(), counts.tolist(), strict=True)]
    return [np.asarray(each, space.dtype).reshape(space.shape) for each in itertools.product(*ranges)]


@pytest.mark.parametrize("name", slow_but(QUICK, CHOICES))
def test_probabilities_of_all_actions_add_up_and_give_the_entropy(name):
    space = CHOICES[name]
    policy = policy_over(2 * jax.random.normal(jax.random.key(0), (policy_parameters(space),)), space)
    actions = everything(space)
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *actions)
    logs = np.asarray(jax.vmap(policy.log_probability)(stacked), float)
    np.testing.assert_allclose(np.exp(logs).sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), -(np.exp(logs) * logs).sum(), rtol=1e-4)
    likeliest = policy.log_probability(policy.mode())
    np.testing.assert_allclose(likeliest, logs.max(), rtol=1e-5)
    drawn = jax.jit(jax.vmap(policy.sample))(jax.random.split(jax.random.key(1), 4000))
    seen = np.exp(np.asarray(jax.vmap(policy.log_probability)(drawn)))
    np.testing.assert_allclose(seen.mean(), (np.exp(logs) ** 2).sum(), atol=0.03)  # the chance that two draws agree
    assert all(space.contains(one) for one in user_actions(jax.device_get(drawn), space)[:50])


def test_choices_of_unequal_sizes_are_read_one_after_another():
    policy = policy_over(jnp.log(jnp.float32([0.2, 0.3, 0.5, 1.0, 0.9, 0.1])), CHOICES["unequal"])
    np.testing.assert_allclose(policy.log_probability(jnp.int32([7, 0, 0])), np.log(0.5 * 0.1), rtol=1e-5)
    assert policy.mode().tolist() == [7, 0, -1]


def test_whole_numbers_in_order_prefer_what_is_near_the_mean():
    space = spaces.Box(-100, 100, (1,), np.int32)
    policy = policy_over(jnp.float32([np.arctanh(50 / 100.5), -9.0]), space)
    logs = [float(policy.log_probability(jnp.int32([k]))) for k in (50, 49, 40, -100)]
    assert logs == sorted(logs, reverse=True)
    assert int(policy.mode()[0]) == 50


def test_many_whole_numbers_are_rounded_and_their_densities_are_probabilities():
    space = spaces.Box(np.array([-300, 5]), np.array([300, 5]), dtype=np.int32)
    assert (policy_parameters(space), deviation_parameters(space)) == (4, 2)
    policy = policy_over(jnp.float32([0.3, 9.0, -2.0, 9.0]), space)
    values = jnp.stack([jnp.arange(-300, 301), jnp.full(601, 5)], axis=1)
    np.testing.assert_allclose(np.exp(jax.vmap(policy.log_probability)(values)).sum(), 1.0, rtol=1e-4)
    drawn = jax.vmap(policy.sample)(jax.random.split(jax.random.key(0), 500))
    assert drawn.dtype == jnp.int32
    assert all(space.contains(one) for one in np.asarray(drawn))
    extreme = policy_over(jnp.float32([-99.0, 0.0, 9.0, 0.0]), space)
    assert space.contains(np.asarray(extreme.mode()))


FROZEN = spaces.Box(np.float32([-1, 3, -2]), np.float32([1, 3, 2]))
ROUNDED = spaces.Box(-(2**24), 2**24, (1,), np.int32)


def test_a_number_that_cannot_move_is_constant_and_counts_nothing():
    numbers = jax.random.normal(jax.random.key(0), (6,))
    policy, free = policy_over(numbers, FROZEN), spaces.Box(np.float32([-1, -2]), np.float32([1, 2]))
    without = policy_over(numbers[jnp.array([0, 2, 3, 5])], free)
    action = policy.sample(jax.random.key(1))
    assert (float(action[1]), float(policy.mode()[1])) == (3.0, 3.0)
    two = action[jnp.array([0, 2])]
    np.testing.assert_allclose(policy.log_probability(action), without.log_probability(two), rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), without.entropy(), rtol=1e-5)


@pytest.mark.parametrize(
    "space",
    slow_but(
        [FROZEN, CHOICES["unequal"], ROUNDED],
        [FROZEN, spaces.Box(-1e30, 1e30, (2,)), spaces.Box(5.0, 5.0, (1,)), *CHOICES.values(), ROUNDED],
    ),
    ids=str,
)
@pytest.mark.parametrize("scale", slow_but([30.0], [0.0, 30.0]))
def test_densities_entropies_and_gradients_are_finite(space, scale):
    numbers = scale * jax.random.normal(jax.random.key(0), (policy_parameters(space),))
    action = jax.jit(lambda numbers: policy_over(numbers, space).sample(jax.random.key(1)))(numbers)

    def total(numbers):
        policy = policy_over(numbers, space)
        return policy.log_probability(action) + policy.entropy()

    value, slope = jax.jit(jax.value_and_grad(total))(numbers)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.slow
def test_actions_of_two_axes_or_none_have_the_density_of_a_flat_one():
    numbers = jax.random.normal(jax.random.key(0), (8,))
    square, flat = spaces.Box(-1, 1, (2, 2)), spaces.Box(-1, 1, (4,))
    action = policy_over(numbers, square).sample(jax.random.key(1))
    assert action.shape == (2, 2)
    np.testing.assert_array_equal(
        policy_over(numbers, square).log_probability(action), policy_over(numbers, flat).log_probability(action.reshape(4))
    )
    assert policy_over(numbers[:2], spaces.Box(-1, 1, ())).sample(jax.random.key(1)).shape == ()


def test_deviations_stand_behind_all_other_numbers():
    space = spaces.Tuple([spaces.Box(-1, 1, (1,)), spaces.Discrete(2), spaces.Box(-1, 1, (1,))])
    assert (policy_parameters(space), deviation_parameters(space)) == (6, 2)
    narrow, wide = (policy_over(jnp.float32([0, 0, 0, 0, first, 0]), space) for first in (-4.0, 4.0))
    assert narrow.parts[0].deviation < wide.parts[0].deviation
    np.testing.assert_array_equal(narrow.parts[2].deviation, wide.parts[2].deviation)
