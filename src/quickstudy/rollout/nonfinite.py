"""A guard that keeps numbers that are not finite out of an agent's memory.

A broken sensor sends NaN, and an overflow gives infinity. One such number in a recurrent state or a belief stays there for the
rest of the lifetime. So a step with one counts as a step that did not happen, which by law changes no memory. An observation
with one is acted on with the last finite number in its place. The guard counts both, and every decision reports them.

A reward beyond `LARGEST_REWARD` overflows as soon as rewards are added up or squared in 32 bits. It is treated alike.

Every agent that runs anywhere is guarded: in meta-training, in evaluation, in reports and in an `Actor`. So what is measured
is the agent that is deployed.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Transition, blank_observation, record
from quickstudy.rollout.wrapping import wrapped

LARGEST_REWARD = 1e15
"""Sums over a million rewards of this size, and their squares, stay within what 32 bits hold."""


@record
class GuardedMemory:
    """The inner agent's memory, with what the guard needs.

    `last_finite`: for each number of an observation, the last that was finite.
    `masked` `[]`: steps masked so far in this lifetime.
    """

    memory: PyTree
    last_finite: Array
    masked: Int[Array, ""]


def with_nonfinite_guard(agent: Agent) -> Agent:
    """The same agent with the guard; its parameters are the inner agent's.

    Where all numbers are finite, both decide the same. An agent that is guarded already is returned as it is.

    Decisions gain `extras["nonfinite_steps"]`: `steps` `[]`, steps masked so far in this lifetime, and `now` `[]`, whether
    numbers of the present observation were replaced.
    """
    if getattr(agent.begin, "guarded", False):
        return agent
    blank = blank_observation(agent.spec)

    def begin(params: PyTree, key: PRNGKeyArray) -> GuardedMemory:
        zeros = jnp.zeros(blank.shape, jax.dtypes.canonicalize_dtype(agent.spec.observation_space.dtype))
        return GuardedMemory(memory=agent.begin(params, key), last_finite=zeros, masked=jnp.int32(0))

    def act(params: PyTree, guarded: GuardedMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        decision = agent.act(params, guarded.memory, _filled(observation, guarded.last_finite), key)
        report = {"steps": guarded.masked, "now": ~_is_finite(observation).all()}
        return dataclasses.replace(decision, extras=decision.extras | {"nonfinite_steps": report})

    def adapt(params: PyTree, guarded: GuardedMemory, experience: Transition, key: PRNGKeyArray) -> GuardedMemory:
        clean, masked = mask_nonfinite(experience)
        return GuardedMemory(
            memory=agent.adapt(params, guarded.memory, clean, key),
            last_finite=_last_finite(guarded.last_finite, experience),
            masked=guarded.masked + masked.sum().astype(jnp.int32),
        )

    begin.guarded = True  # type: ignore[attr-defined]
    # The last finite observation depends on the order of steps.
    return wrapped(agent, begin=begin, act=act, adapt=adapt, exchangeable=False)


def mask_nonfinite(lifetimes: Transition) -> tuple[Transition, Bool[Array, "*time"]]:
    """Masks the steps in which a number is not finite, or the reward overflows.

    A masked step stays in its slot and is no longer `valid`; its numbers that are not finite become zeros.

    Args:
      lifetimes: `[*time]`, lifetimes or parts of them, with any leading axes.
    Returns:
      The masked lifetimes, and which steps were masked by this call, `[*time]`.
    """
    outcome = lifetimes.outcome
    finite = (
        _all_finite(lifetimes.observation, lifetimes.valid)
        & _all_finite(outcome.observation, lifetimes.valid)
        & usable_reward(outcome.reward)
    )
    clean = dataclasses.replace(
        lifetimes,
        observation=_filled(lifetimes.observation, jnp.zeros_like(lifetimes.observation)),
        outcome=dataclasses.replace(
            outcome,
            observation=_filled(outcome.observation, jnp.zeros_like(outcome.observation)),
            reward=jnp.where(usable_reward(outcome.reward), outcome.reward, 0.0),
        ),
        valid=lifetimes.valid & finite,
    )
    return clean, lifetimes.valid & ~finite


def usable_reward(reward: Any) -> Any:
    """Whether each reward is finite and small enough to be added up and squared; of NumPy or JAX, as it came."""
    absolute = abs(reward)
    return absolute <= LARGEST_REWARD  # which NaN is not


def overflowing(reward: Any) -> Any:
    """Whether each reward is a number, or infinite, and too large; of NumPy or JAX, as it came."""
    return abs(reward) > LARGEST_REWARD


def _is_finite(numbers: Array) -> Bool[Array, "*shape"]:
    """Number by number; whole numbers always are."""
    return jnp.isfinite(numbers) if jnp.issubdtype(numbers.dtype, jnp.floating) else jnp.ones(numbers.shape, bool)


def _all_finite(observations: Array, steps: Array) -> Bool[Array, "*time"]:
    """Whether all numbers of an observation are finite, in the shape of `steps`."""
    return _is_finite(observations).reshape(*steps.shape, -1).all(-1)


def _filled(numbers: Array, replacement: Array) -> Array:
    return jnp.where(_is_finite(numbers), numbers, replacement)


def _last_finite(last_finite: Array, experience: Transition) -> Array:
    """For each number of an observation the last that was finite, in the order in which they were observed."""
    if not jnp.issubdtype(last_finite.dtype, jnp.floating):
        return last_finite  # whole numbers are never replaced

    def see(last_finite: Array, xs: tuple) -> tuple[Array, None]:
        before, after, happened = xs
        return jnp.where(happened, _filled(after, _filled(before, last_finite)), last_finite), None

    return jax.lax.scan(see, last_finite, (experience.observation, experience.outcome.observation, experience.valid))[0]
