"""Operations and bytes moved of a decision and an adaptation, and their energy. They are counted, not measured.

The picojoules are those of a 45 nm chip at 0.9 V (Horowitz 2014, "Computing's energy problem", ISSCC, figure 1.1.9): a product
of 32-bit numbers 3.7, an addition 0.9, and 100 for 8 bytes from on-chip memory of 1 MB. Nothing else that a processor spends is
in them: no instructions, no clock, no leakage. So they serve to compare agents, and they do not predict a battery life.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from quickstudy.programs.counting import Counted, count, used_inputs
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Transition, blank_observation

PICOJOULES_PER_MULTIPLY_ADD, PICOJOULES_PER_OPERATION, PICOJOULES_PER_BYTE = 3.7 + 0.9, 0.9, 100 / 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentCost:
    """What one decision and one adaptation need.

    Args:
      decision: `act`, with the numbers that it reports and the drawing of an action.
      adaptation: one call of `adapt`.
      cadence: steps that one adaptation takes in.
      parameters: numbers that meta-training has written.
      read_by_decision: numbers of the parameters and the memory that a decision needs.
      changed: how many of these an adaptation writes.
    """

    decision: Counted
    adaptation: Counted
    cadence: int
    parameters: int
    read_by_decision: int
    changed: int


def agent_cost(agent: Agent, params: PyTree) -> AgentCost:
    """Counts a decision and an adaptation of one lifetime.

    Args:
      agent: as it runs, so with the non-finite guard.
      params: of one seed, or their shapes.
    Raises:
      NotImplementedError: the agent uses an operation that is not counted; says which.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    memory = jax.eval_shape(agent.begin, params, key)
    observation: Any = blank_observation(agent.spec)
    decision = jax.eval_shape(agent.act, params, memory, observation, key)
    shape_of: Any = lambda dtype: jax.ShapeDtypeStruct((), dtype)  # noqa: E731
    number, truth = shape_of(jnp.float32), shape_of(jnp.bool_)
    step = Transition(
        observation=observation,
        decision=decision,
        outcome=Outcome(observation=observation, reward=number, terminated=truth, truncated=truth),
        episode=shape_of(jnp.int32),
        valid=truth,
    )
    steps = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((agent.cadence, *jnp.shape(leaf)), leaf.dtype), step)
    adapted = jax.make_jaxpr(agent.adapt)(params, memory, steps, key).jaxpr
    written = jax.tree.unflatten(jax.tree.structure(memory), [atom not in set(adapted.invars) for atom in adapted.outvars])
    of_parameters, of_memory, *_ = used_inputs(agent.act, params, memory, observation, key)
    return AgentCost(
        decision=count(agent.act, params, memory, observation, key),
        adaptation=count(agent.adapt, params, memory, steps, key),
        cadence=agent.cadence,
        parameters=_numbers(params),
        read_by_decision=_numbers(params, of_parameters) + _numbers(memory, of_memory),
        changed=_numbers(memory, jax.tree.map(lambda one, other: one and other, of_memory, written)),
    )


def _numbers(tree: PyTree, chosen: PyTree | None = None) -> int:
    """How many numbers with a fraction the leaves of a tree hold, or those that are chosen."""
    leaves = jax.tree.leaves(tree)
    take = [True] * len(leaves) if chosen is None else jax.tree.leaves(chosen)
    return sum(
        int(leaf.size)
        for leaf, is_taken in zip(leaves, take, strict=True)
        if is_taken and jnp.issubdtype(leaf.dtype, jnp.floating)
    )


def nanojoules(counted: Counted) -> float:
    """The energy of what was counted, in the published figures above."""
    moved = counted.bytes_read + counted.bytes_written
    picojoules = (
        PICOJOULES_PER_MULTIPLY_ADD * counted.multiply_adds
        + PICOJOULES_PER_OPERATION * counted.other
        + PICOJOULES_PER_BYTE * moved
    )
    return picojoules / 1000
