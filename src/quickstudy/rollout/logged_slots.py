"""What an agent decides along a logged lifetime that is laid out in slots, given what happened before each decision.

At each slot the agent decides on the logged observation. Then it adapts as if it had taken the logged action, on the
logged outcome. Slots keep their numbers, valid or not. So one step can be left out without moving any other.
"""

import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.given_actions import taken_instead
from quickstudy.protocol.records import Decision, Outcome, Transition, record
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan
from quickstudy.rollout.session import transition_at


@record
class LoggedSlots:
    """What is logged at the slots of a lifetime, leaves `[slots, ...]`; a slot that is not `valid` changes no memory."""

    observation: Array
    action: Array
    outcome: Outcome
    slot: Array
    valid: Array


def decisions_along(agent: Agent, params: PyTree, lifetime: LoggedSlots, key: PRNGKeyArray) -> Decision:
    """The agent's own decision at every slot, leaves `[slots, ...]`.

    Args:
      agent: that decides and adapts.
      params: its parameters.
      lifetime: unbatched; its number of slots is a multiple of the cadence.
      key: the agent's share of the lifetime's randomness.
    """

    def act(memory: PyTree, logged: LoggedSlots) -> tuple[Decision, Transition]:
        own = agent.act(params, memory, logged.observation, slot_key(key, logged.slot)[1])
        taken = taken_instead(own, logged.action.astype(own.action.dtype))
        step = transition_at(logged.slot, logged.observation, taken, logged.outcome, logged.valid, horizon=agent.spec.horizon)
        return own, step

    def chunk(memory: PyTree, logged: LoggedSlots) -> tuple[PyTree, Decision]:
        own, experience = jax.vmap(act, (None, 0))(memory, logged)
        key_adapt = slot_key(key, logged.slot[-1] + 1)[0]
        return agent.adapt(params, memory, experience, key_adapt), own

    memory = agent.begin(params, slot_key(key, 0)[0])
    _, own = scan(chunk, memory, chunks(lifetime, length=agent.cadence))
    return flatten_chunks(own)
