"""The memory of a guarded agent: those of agent and fallback, and what the guard counts."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from quickstudy.protocol.records import Decision, Transition, record
from quickstudy.protocol.sequences import where
from quickstudy.rollout.envelope.rules import SurpriseRule
from quickstudy.rollout.envelope.surprise import SurpriseState, after_p_value


@record
class EnvelopeMemory:
    """The memories of agent and fallback, with the guard's own.

    `agent`, `fallback`: their memories. `surprise`: the hysteresis. `held_back` `[]`: whether this lifetime is held back.
    `explored` `[]`: explored decisions so far. `cost` `[]`: spent so far, reward units. `last` `[n]`: the numbers of the last
    action, none where changes are free. `acted` `[]`: whether there was an action.
    """

    agent: PyTree
    fallback: PyTree
    surprise: SurpriseState
    held_back: Bool[Array, ""]
    explored: Int[Array, ""]
    cost: Float[Array, ""]
    last: Float[Array, " n"]
    acted: Bool[Array, ""]


def after_steps(memory: EnvelopeMemory, experience: Transition, rule: SurpriseRule | None) -> EnvelopeMemory:
    """The guard's own memory after some steps `[time]`; those of agent and fallback are as before."""

    def after(counted: EnvelopeMemory, step: Transition) -> tuple[EnvelopeMemory, None]:
        return where(step.valid, _after_step(counted, step, rule), counted), None

    counted = jax.lax.scan(after, dataclasses.replace(memory, agent=(), fallback=()), experience)[0]
    return dataclasses.replace(counted, agent=memory.agent, fallback=memory.fallback)


def p_value_of(decision: Decision, rule: SurpriseRule) -> Float[Array, ""]:
    """The p-value of a decision that a rule goes by."""
    return decision.extras["p_values"][rule.p_value]


def _after_step(counted: EnvelopeMemory, step: Transition, rule: SurpriseRule | None) -> EnvelopeMemory:
    decision, surprise = step.decision, counted.surprise
    return dataclasses.replace(
        counted,
        surprise=surprise if rule is None else after_p_value(surprise, p_value_of(decision, rule), rule),
        explored=counted.explored + decision.extras["guard"]["explored"].astype(jnp.int32),
        cost=counted.cost + jnp.maximum(-step.outcome.reward, 0.0),
        last=decision.action.reshape(-1).astype(jnp.float32) if counted.last.size else counted.last,
        acted=jnp.asarray(True),
    )
