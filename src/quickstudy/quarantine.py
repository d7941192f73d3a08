"""Evidence that is no number, kept away from an agent's memory.

A sensor that fails sends NaN, an overflow infinity. One such number in a recurrent state or a belief stays there for the rest
of the lifetime. So a step with one is treated as if it had not happened, which by law changes no memory, and an observation
with one is acted upon with the last number that was sound in its place. Both are counted, and every decision says so.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from quickstudy.agent import Agent
from quickstudy.records import Decision, Transition, record


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

    def begin(params: PyTree, key: PRNGKeyArray) -> Guarded:
        return Guarded(memory=agent.begin(params, key), sound=jnp.zeros(space.shape or (), space.dtype), apart=jnp.int32(0))

    def act(params: PyTree, guarded: Guarded, observation: Array, key: PRNGKeyArray) -> Decision:
        decision = agent.act(params, guarded.memory, _mended(observation, guarded.sound), key)
        said = {"steps": guarded.apart, "now": ~_finite(observation).all()}
        return dataclasses.replace(decision, extras=decision.extras | {"quarantined": said})

    def adapt(params: PyTree, guarded: Guarded, experience: Transition, key: PRNGKeyArray) -> Guarded:
        outcome = experience.outcome
        bad = ~(_sound(experience.observation) & _sound(outcome.observation) & jnp.isfinite(outcome.reward))
        nothing = lambda leaf: jnp.where(_finite(leaf), leaf, jnp.zeros_like(leaf))  # noqa: E731
        clean = dataclasses.replace(
            experience,
            observation=nothing(experience.observation),
            outcome=dataclasses.replace(outcome, observation=nothing(outcome.observation), reward=nothing(outcome.reward)),
            valid=experience.valid & ~bad,
        )
        return Guarded(
            memory=agent.adapt(params, guarded.memory, clean, key),
            sound=_last_sound(guarded.sound, experience),
            apart=guarded.apart + (experience.valid & bad).sum().astype(jnp.int32),
        )

    return Agent(
        spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence
    )  # fmt: skip


def _finite(numbers: Array) -> Bool[Array, "*shape"]:
    """True everywhere of whole numbers."""
    return jnp.isfinite(numbers) if jnp.issubdtype(numbers.dtype, jnp.floating) else jnp.ones(numbers.shape, bool)


def _sound(observations: Array) -> Bool[Array, " steps"]:
    """Whether all numbers of an observation are finite, `[steps]`."""
    return _finite(observations).reshape(len(observations), -1).all(1)


def _mended(observation: Array, sound: Array) -> Array:
    return jnp.where(_finite(observation), observation, sound)


def _last_sound(sound: Array, experience: Transition) -> Array:
    """Number by number, the last that was finite, in the order in which they were seen."""

    def see(sound: Array, xs: tuple) -> tuple[Array, None]:
        observation, happened = xs
        return jnp.where(happened, _mended(observation, sound), sound), None

    sound, _ = jax.lax.scan(see, sound, (experience.observation, experience.valid))
    return jax.lax.scan(see, sound, (experience.outcome.observation, experience.valid))[0]
