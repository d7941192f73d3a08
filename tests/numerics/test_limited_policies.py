"""Policies after limits: the actions follow the stated probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.numerics.distributions import Categorical, TruncatedNormal
from quickstudy.numerics.limited_policies import mixed_choice, normal_within

DRAWS = 20_000
FOUR_ERRORS = 4 * 0.5 / DRAWS**0.5
"""Four standard errors of a share, at most."""


@pytest.mark.parametrize(
    ("least", "each", "meant"),
    [
        (0.0, 0.0, [0.5, 0.3, 0.2, 0.0]),
        (0.8, 0.0, [0.8, 0.12, 0.08, 0.0]),
        (0.0, 0.1, [0.45, 0.31, 0.24, 0.0]),
        (0.8, 0.1, [0.8, 0.1, 0.1, 0.0]),
        (1.0, 0.0, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_mixed_choice_has_the_probabilities_worked_out_by_hand(least, each, meant):
    """By hand for p = (0.5, 0.3, 0.2), with a fourth action that is forbidden; mixed over three allowed ones."""
    policy = Categorical(logits=jnp.log(jnp.float32([0.5, 0.3, 0.2, 1e-30])), start=2)
    allowed = jnp.array([True, True, True, False])

    def draw(key):
        key_action, key_mixture = jax.random.split(key)
        limits = {"likeliest_at_least": jnp.float32(least), "each_at_least": jnp.float32(each)}
        return mixed_choice(policy, policy.sample(key_action), key_mixture, allowed=allowed, **limits)

    draw_all = jax.jit(jax.vmap(lambda key: draw(key)[0]))
    actions = np.asarray(draw_all(jax.random.split(jax.random.key(0), DRAWS)))
    mixed = draw(jax.random.key(1))[1]
    np.testing.assert_allclose(jnp.exp(mixed.logits), meant, atol=1e-6)
    np.testing.assert_allclose(np.bincount(actions - 2, minlength=4) / DRAWS, meant, atol=FOUR_ERRORS)


BOX = TruncatedNormal(
    mean=jnp.float32([0.3, -1.9, 0.0]), deviation=jnp.float32([0.5, 0.3, 1.0]), low=(-1.0, -2.0, -2.0), high=(1.0, 2.0, 2.0)
)


def density_by_scipy(numbers, low, high):
    """π(a) + (1 − π[low, high]) q(a), number by number."""
    total = 0.0
    for i, number in enumerate(numbers):
        mean, deviation = float(BOX.mean[i]), float(BOX.deviation[i])

        def cut(at, ends, deviation=deviation):
            return stats.truncnorm((ends[0] - at) / deviation, (ends[1] - at) / deviation, loc=at, scale=deviation)

        own, again = cut(mean, (BOX.low[i], BOX.high[i])), cut(np.clip(mean, low[i], high[i]), (low[i], high[i]))
        inside = own.cdf(high[i]) - own.cdf(low[i])
        total += np.log(own.pdf(number) + (1 - inside) * again.pdf(number))
    return total


def test_actions_within_narrower_bounds_follow_their_density():
    low, high = np.float32([-0.2, 0.5, -2.0]), np.float32([0.1, 1.0, 2.0])

    def draw(key):
        key_action, key_again = jax.random.split(key)
        action = BOX.sample(key_action)
        return action, *normal_within(BOX, action, key_again, low=jnp.asarray(low), high=jnp.asarray(high))

    wanted, final, log_density = map(np.asarray, jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), DRAWS)))
    inside = (wanted >= low) & (wanted <= high)
    np.testing.assert_array_equal(final[inside], wanted[inside])  # what was within the bounds was not changed
    assert ((final >= low) & (final <= high)).all()
    for row in range(5):
        assert log_density[row] == pytest.approx(density_by_scipy(final[row], low, high), rel=1e-3, abs=1e-3)
    # Importance weights of a uniform distribution over the bounds have the mean 1.
    volume = float(np.prod(high - low))
    weights = np.exp(-log_density.astype(np.float64)) / volume
    assert weights.mean() == pytest.approx(1, abs=float(4 * weights.std() / DRAWS**0.5))


def test_equal_bounds_are_a_constant_without_a_part_in_the_density():
    low = high = jnp.float32([0.2, 0.0, 0.0])
    final, log_density = normal_within(BOX, jnp.zeros(3), jax.random.key(0), low=low, high=high)
    np.testing.assert_array_equal(final, low)
    assert log_density == 0
