"""Evidence that is no number, kept away from an agent's memory.

A sensor that fails sends NaN, an overflow infinity. One such number in a recurrent state or a belief stays there for the rest
of the lifetime. So a step with one is treated as if it had not happened, which by law changes no memory, and an observation
with one is acted upon with the last number that was sound in its place. Both are counted, and every decision says so.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Transition, record


@record
class GuardedMemory:
    """The agent's own memory, the last sound observation, and how many steps were set apart so far."""

    memory: PyTree
    last_finite: Array
    apart: Int[Array, ""]


def with_nonfinite_guard(agent: Agent) -> Agent:
    """The same agent, unharmed by rewards and observations that are not finite; its parameters are the agent's own.

    Decisions gain `extras["quarantined"]`: `steps` `[]`, those set apart so far on this task, and `now` `[]`, whether the
    present observation had to be mended.
    """
    space = agent.spec.observation_space
    kind = jax.dtypes.canonicalize_dtype(space.dtype)

    def begin(params: PyTree, key: PRNGKeyArray) -> GuardedMemory:
        return GuardedMemory(
            memory=agent.begin(params, key), last_finite=jnp.zeros(space.shape or (), kind), apart=jnp.int32(0)
        )

    def act(params: PyTree, guarded: GuardedMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        decision = agent.act(params, guarded.memory, _filled(observation, guarded.last_finite), key)
        said = {"steps": guarded.apart, "now": ~_finite(observation).all()}
        return dataclasses.replace(decision, extras=decision.extras | {"nonfinite_steps": said})

    def adapt(params: PyTree, guarded: GuardedMemory, experience: Transition, key: PRNGKeyArray) -> GuardedMemory:
        clean, apart = mask_nonfinite(experience)
        return GuardedMemory(
            memory=agent.adapt(params, guarded.memory, clean, key),
            last_finite=_last_sound(guarded.last_finite, experience),
            apart=guarded.apart + apart.sum().astype(jnp.int32),
        )

    return Agent(spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence)


def mask_nonfinite(lived: Transition) -> tuple[Transition, Bool[Array, "*time"]]:
    """Lifetimes or parts of them, without the steps whose evidence is not finite, and which steps those are.

    Such a step stays in its slot, is not `valid` any more, and its numbers that were not finite are zeros.

    Args:
      lived: `[*time]`, leading axes as there are.
    """
    outcome = lived.outcome
    last_finite = (
        _sound(lived.observation, lived.valid) & _sound(outcome.observation, lived.valid) & jnp.isfinite(outcome.reward)
    )
    clean = dataclasses.replace(
        lived,
        observation=_filled(lived.observation, jnp.zeros_like(lived.observation)),
        outcome=dataclasses.replace(
            outcome,
            observation=_filled(outcome.observation, jnp.zeros_like(outcome.observation)),
            reward=_filled(outcome.reward, jnp.zeros_like(outcome.reward)),
        ),
        valid=lived.valid & last_finite,
    )
    return clean, lived.valid & ~last_finite


def _finite(numbers: Array) -> Bool[Array, "*shape"]:
    """True everywhere of whole numbers."""
    return jnp.isfinite(numbers) if jnp.issubdtype(numbers.dtype, jnp.floating) else jnp.ones(numbers.shape, bool)


def _sound(observations: Array, steps: Array) -> Bool[Array, "*time"]:
    """Whether all numbers of an observation are finite, in the shape of `steps`."""
    return _finite(observations).reshape(*steps.shape, -1).all(-1)


def _filled(observation: Array, last_finite: Array) -> Array:
    return jnp.where(_finite(observation), observation, last_finite)


def _last_sound(last_finite: Array, experience: Transition) -> Array:
    """Number by number, the last that was finite, in the order in which they were seen."""
    if not jnp.issubdtype(last_finite.dtype, jnp.floating):
        return last_finite  # whole numbers are never mended

    def see(last_finite: Array, xs: tuple) -> tuple[Array, None]:
        before, after, happened = xs
        return jnp.where(happened, _filled(after, _filled(before, last_finite)), last_finite), None

    return jax.lax.scan(see, last_finite, (experience.observation, experience.outcome.observation, experience.valid))[0]
