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
class Guarded:
    """The agent's own memory, the last sound observation, and how many steps were set apart so far."""

    memory: PyTree
    sound: Array
    apart: Int[Array, ""]


def quarantined(agent: Agent) -> Agent:
    """The same agent, unharmed by rewards and observations that are not finite; its parameters are the agent's own.

    Decisions gain `extras["quarantined"]`: `steps` `[]`, those set apart so far on this task, and `now` `[]`, whether the
    present observation had to be mended.
    """
    space = agent.spec.observation_space
    kind = jax.dtypes.canonicalize_dtype(space.dtype)

    def begin(params: PyTree, key: PRNGKeyArray) -> Guarded:
        return Guarded(memory=agent.begin(params, key), sound=jnp.zeros(space.shape or (), kind), apart=jnp.int32(0))

    def act(params: PyTree, guarded: Guarded, observation: Array, key: PRNGKeyArray) -> Decision:
        decision = agent.act(params, guarded.memory, _mended(observation, guarded.sound), key)
        said = {"steps": guarded.apart, "now": ~_finite(observation).all()}
        return dataclasses.replace(decision, extras=decision.extras | {"quarantined": said})

    def adapt(params: PyTree, guarded: Guarded, experience: Transition, key: PRNGKeyArray) -> Guarded:
        clean, apart = set_apart(experience)
        return Guarded(
            memory=agent.adapt(params, guarded.memory, clean, key),
            sound=_last_sound(guarded.sound, experience),
            apart=guarded.apart + apart.sum().astype(jnp.int32),
        )

    return Agent(spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence)


def set_apart(lived: Transition) -> tuple[Transition, Bool[Array, "*time"]]:
    """Lifetimes or parts of them, without the steps whose evidence is not finite, and which steps those are.

    Such a step stays in its slot, is not `valid` any more, and its numbers that were not finite are zeros.

    Args:
      lived: `[*time]`, leading axes as there are.
    """
    outcome = lived.outcome
    sound = _sound(lived.observation, lived.valid) & _sound(outcome.observation, lived.valid) & jnp.isfinite(outcome.reward)
    clean = dataclasses.replace(
        lived,
        observation=_mended(lived.observation, jnp.zeros_like(lived.observation)),
        outcome=dataclasses.replace(
            outcome,
            observation=_mended(outcome.observation, jnp.zeros_like(outcome.observation)),
            reward=_mended(outcome.reward, jnp.zeros_like(outcome.reward)),
        ),
        valid=lived.valid & sound,
    )
    return clean, lived.valid & ~sound


def _finite(numbers: Array) -> Bool[Array, "*shape"]:
    """True everywhere of whole numbers."""
    return jnp.isfinite(numbers) if jnp.issubdtype(numbers.dtype, jnp.floating) else jnp.ones(numbers.shape, bool)


def _sound(observations: Array, steps: Array) -> Bool[Array, "*time"]:
    """Whether all numbers of an observation are finite, in the shape of `steps`."""
    return _finite(observations).reshape(*steps.shape, -1).all(-1)


def _mended(observation: Array, sound: Array) -> Array:
    return jnp.where(_finite(observation), observation, sound)


def _last_sound(sound: Array, experience: Transition) -> Array:
    """Number by number, the last that was finite, in the order in which they were seen."""
    if not jnp.issubdtype(sound.dtype, jnp.floating):
        return sound  # whole numbers are never mended

    def see(sound: Array, xs: tuple) -> tuple[Array, None]:
        before, after, happened = xs
        return jnp.where(happened, _mended(after, _mended(before, sound)), sound), None

    return jax.lax.scan(see, sound, (experience.observation, experience.outcome.observation, experience.valid))[0]
