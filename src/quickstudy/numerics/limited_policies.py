"""Policies after limits: the action that is left, and its exact probability or density.

A limit keeps the action that a policy has drawn wherever it can. What it draws again it draws from a known distribution. So the
probability of the final action is known exactly, and an action within the limits is not changed.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.numerics.distributions import Categorical, TruncatedNormal

_LEAST = 1e-30
"""A probability of zero has this logarithm's value, so that logits are finite."""


def mixed_choice(
    policy: Categorical,
    action: Int[Array, ""],
    key: PRNGKeyArray,
    *,
    likeliest_at_least: Float[Array, ""],
    each_at_least: Float[Array, ""],
    allowed: Bool[Array, " n"],
) -> tuple[Int[Array, ""], Categorical]:
    """A choice whose policy is mixed with its likeliest action and with a uniform choice.

        p' = (1 − n ε) ((1 − λ) p + λ e) + ε        λ the smallest in [0, 1] with p'(likeliest) ≥ m

    n is the number of allowed actions, and e is 1 at the likeliest action.

    Args:
      policy: p; it allows no other action than the allowed ones.
      action: drawn from it.
      key: of the mixture; consumed.
      likeliest_at_least: m.
      each_at_least: ε; m + (n − 1) ε is at most 1.
      allowed: by action; at least one is.
    Returns:
      The action, which is drawn from p', and p'.
    """
    probabilities, count = jax.nn.softmax(policy.logits), allowed.sum().astype(jnp.float32)
    likeliest, most = policy.mode(), probabilities.max()
    kept = jnp.maximum(1 - count * each_at_least, 0.0)
    wanted = (likeliest_at_least - each_at_least) / jnp.maximum(kept, _LEAST)
    share = jnp.clip((wanted - most) / jnp.maximum(1 - most, _LEAST), 0.0, 1.0)
    share = jnp.where(most < wanted, share, 0.0)
    at_likeliest = jax.nn.one_hot(likeliest - policy.start, probabilities.shape[-1])
    mixed = kept * ((1 - share) * probabilities + share * at_likeliest) + jnp.where(allowed, each_at_least, 0.0)
    key_part, key_uniform = jax.random.split(key)
    part = jax.random.uniform(key_part)
    uniform = jax.random.categorical(key_uniform, jnp.where(allowed, 0.0, -jnp.inf)).astype(jnp.int32) + policy.start
    chosen = jnp.where(part < kept * (1 - share), action, jnp.where(part < kept, likeliest, uniform))
    return chosen, Categorical(logits=jnp.log(jnp.maximum(mixed, _LEAST)), start=policy.start)


def normal_within(
    policy: TruncatedNormal, action: Float[Array, " n"], key: PRNGKeyArray, *, low: Float[Array, " n"], high: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """An action within narrower bounds: numbers within them are kept, the others are drawn again.

        π'_i(a) = π_i(a) + (1 − π_i[low, high]) q_i(a)

    q_i is the normal distribution of π_i with its mean moved to the nearest bound, cut to [low, high]. A number whose bounds
    are equal is constant, and has no part in the density.

    Args:
      policy: π.
      action: `[n]`, drawn from it.
      key: of the numbers that are drawn again; consumed.
      low, high: `[n]`, within the bounds of the policy.
    Returns:
      The action `[n]` and its log-density under π' `[]`.
    """
    ends = jnp.asarray(policy.low, jnp.float32), jnp.asarray(policy.high, jnp.float32)
    mean, deviation = jnp.clip(policy.mean, low, high), policy.deviation
    width, moves = jnp.where(high > low, high - low, 1.0), high > low
    drawn = low + width * jax.vmap(lambda m, d, key: _unit(m, d).sample(key)[0])(
        (mean - low) / width, deviation / width, jax.random.split(key, mean.shape[0])
    )
    drawn = jnp.where(moves, jnp.clip(drawn, low, high), low)
    final = jnp.where((action >= low) & (action <= high), action, drawn)
    cut = lambda bound: ndtr((bound - policy.mean) / deviation)  # noqa: E731
    outside = jnp.clip(1 - (cut(high) - cut(low)) / jnp.maximum(cut(ends[1]) - cut(ends[0]), _LEAST), 0.0, 1.0)
    own = _log_densities(final, policy.mean, deviation, *ends)
    again = _log_densities(final, mean, deviation, low, high) + jnp.log(outside)
    return final, jnp.where(moves, jnp.logaddexp(own, again), 0.0).sum()


def _log_densities(
    numbers: Float[Array, " n"],
    mean: Float[Array, " n"],
    deviation: Float[Array, " n"],
    low: Float[Array, " n"],
    high: Float[Array, " n"],
) -> Float[Array, " n"]:
    """Log-density of each number under a normal distribution that is cut to bounds which need not be constants."""
    width = jnp.where(high > low, high - low, 1.0)
    in_units = (numbers - low) / width, (mean - low) / width, deviation / width
    return jax.vmap(lambda x, m, d: _unit(m, d).log_probability(x[None]))(*in_units) - jnp.log(width)


def _unit(mean: Float[Array, ""], deviation: Float[Array, ""]) -> TruncatedNormal:
    """A normal distribution of one number, cut to [0, 1]."""
    return TruncatedNormal(mean=mean[None], deviation=deviation[None], low=(0.0,), high=(1.0,))
