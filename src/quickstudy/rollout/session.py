"""A lifetime under way as one record of arrays, and the rules that move it on.

`begin` starts a lifetime, `decide` chooses an action for an observation, `observe` takes in what followed. All three are pure,
unbatched and may be compiled. Every rollout is built on them or on the rules below: `Actor` compiles one session, collectors
compile the `vmap` of many, and `run_lifetime` uses the rules inside its own loops. A session can be stored as its leaves.

    t          begin    decide(o_t)      observe(r_t, o'_t)        decide(o_t+1)
    memory     m_0      m_0              m_1 if the chunk is full  m_1
    slot       0        t                next_slot(t, ...)         next_slot(t, ...)
    awaiting   no       yes              no                        yes

If an episode ends early, its other slots change nothing, so a session skips them. `adapt` is called once for each chunk in
which a step happened: as soon as the next slot lies behind that chunk.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.records import Decision, Outcome, Transition, blank_observation, record
from quickstudy.protocol.sequences import fill_forward


@record
class Session:
    """One lifetime under way, unbatched. All leaves are plain arrays.

    `memory`: the agent's memory of all chunks that are complete.
    `pending`: `[cadence - 1]`, the steps of the present chunk; those that happened are `valid`. Empty for a cadence of 1.
    `slot` `[]`: the slot of the next decision; while an outcome is awaited, the slot of the last decision.
    `key` `[words]`: key data of the agent's randomness in this lifetime.
    `observation`, `decision`: of the last decision; zeros before the first.
    `awaits_outcome` `[]`: whether a decision was made whose outcome has not been observed.
    """

    memory: PyTree
    pending: Transition
    slot: Int32[Array, ""]
    key: UInt32[Array, " words"]
    observation: Array
    decision: Decision
    awaits_outcome: Bool[Array, ""]


def begin(agent: Agent, params: PyTree, key: PRNGKeyArray) -> Session:
    """A session at slot 0 of a new task.

    Args:
      agent: the agent that will act.
      params: its parameters.
      key: the agent's share of the lifetime's randomness, `jax.random.split(key)[0]` in `run_lifetime`.
    """
    memory = agent.begin(params, slot_key(key, 0)[0])
    no, seen = jnp.asarray(False), blank_observation(agent.spec)
    observation, decision = _zeros((seen, jax.eval_shape(agent.act, params, memory, seen, key)))
    outcome = Outcome(observation=observation, reward=jnp.float32(0), terminated=no, truncated=no)
    step = transition_at(jnp.int32(0), observation, decision, outcome, no, horizon=agent.spec.horizon)
    return Session(
        memory=memory,
        pending=_zeros(step, agent.cadence - 1),
        slot=jnp.int32(0),
        key=jax.random.key_data(key),
        observation=observation,
        decision=decision,
        awaits_outcome=no,
    )


def decide(
    agent: Agent, params: PyTree, session: Session, observation: Any, *, key_action: PRNGKeyArray | None = None
) -> Session:
    """The session after a decision, which is its `decision`; memory does not change.

    Args:
      agent: the agent that acts.
      params: its parameters.
      session: one that awaits no outcome.
      observation: an element of the observation space.
      key_action: the second key of the session's slot, where it was drawn beforehand.
    """
    if key_action is None:
        key_action = slot_key(jax.random.wrap_key_data(jnp.asarray(session.key)), session.slot)[1]
    observation = jnp.asarray(observation, session.observation.dtype)
    decision = agent.act(params, session.memory, observation, key_action)
    return dataclasses.replace(session, observation=observation, decision=decision, awaits_outcome=jnp.asarray(True))


def observe(
    agent: Agent,
    params: PyTree,
    session: Session,
    outcome: Outcome,
    *,
    adapts: bool | None = None,
    key_adapt: PRNGKeyArray | None = None,
) -> Session:
    """The session after the outcome of its last decision; where it awaits none, the session as it was.

    Args:
      agent: the agent that adapts.
      params: its parameters.
      session: one that awaits an outcome.
      outcome: what followed the action, `[]`; the horizon sets `truncated` by itself.
      adapts: whether this step fills its chunk, where the caller knows it. `None`: found from the session, by a branch.
        Under `vmap` a branch computes both sides, so callers with many sessions give it.
      key_adapt: the first key of the slot `chunk_end(slot)`, where it was drawn beforehand.
    """
    cadence, horizon = agent.cadence, agent.spec.horizon
    step = transition_at(session.slot, session.observation, session.decision, outcome, session.awaits_outcome, horizon=horizon)
    due = chunk_end(session.slot, cadence=cadence)
    slot = jnp.where(step.valid, next_slot(session.slot, step.boundary, horizon=horizon), session.slot)
    following = dataclasses.replace(session, slot=slot, awaits_outcome=jnp.asarray(False))

    def adapted() -> Session:
        key = slot_key(jax.random.wrap_key_data(jnp.asarray(session.key)), due)[0] if key_adapt is None else key_adapt
        memory = agent.adapt(params, session.memory, _whole_chunk(agent, session, step), key)
        empty = dataclasses.replace(session.pending, valid=jnp.zeros_like(session.pending.valid))
        return dataclasses.replace(following, memory=memory, pending=empty)

    def appended() -> Session:
        # A step that did not happen is written behind the end, which is nowhere.
        place = jnp.where(step.valid, session.slot % cadence, cadence)
        pending = jax.tree.map(lambda all, one: all.at[place].set(one, mode="drop"), session.pending, step)
        return dataclasses.replace(following, pending=pending)

    if cadence == 1:
        return adapted()
    if adapts is None:
        return jax.lax.cond(step.valid & (slot >= due), adapted, appended)
    return adapted() if adapts else appended()


def transition_at(
    slot: Array, observation: Array, decision: Decision, outcome: Outcome, valid: Array, *, horizon: int
) -> Transition:
    """The record of one slot `[]`: no reward and no end where it did not happen, `truncated` at the horizon."""
    terminated, truncated = end_of_episode(slot, outcome.terminated, outcome.truncated, horizon=horizon)
    return Transition(
        observation=observation,
        decision=decision,
        outcome=Outcome(
            observation=outcome.observation,
            reward=jnp.where(valid, jnp.asarray(outcome.reward, jnp.float32), 0.0),
            terminated=valid & terminated,
            truncated=valid & truncated,
        ),
        episode=slot // horizon,
        valid=valid,
    )


def end_of_episode(slot: Any, terminated: Any, truncated: Any, *, horizon: int) -> tuple[Any, Any]:
    """`terminated` and `truncated` of a step as they are recorded: never both, and one of them at the horizon.

    Args:
      slot: of the lifetime; an array of any shape, of NumPy or JAX.
      terminated: whether the task ended the episode there; arrays of truth values, not Python's own.
      truncated: whether something else did.
      horizon: most steps in one episode.
    """
    return terminated, ~terminated & (truncated | (slot % horizon == horizon - 1))


def next_slot(slot: Any, ends: Any, *, horizon: int) -> Any:
    """The slot that follows: the next one, or the first of the next episode where the step `ends` its own.

    Args:
      slot: whole numbers of any shape; an array of JAX gives one of JAX, a number of Python gives such a number, and everything
        else gives an array of NumPy.
      ends: whether the step at that slot was the last of its episode.
      horizon: most steps in one episode.
    """
    if type(slot) is int and type(ends) is bool:
        return (slot // horizon + 1) * horizon if ends else slot + 1
    choose: Any = jnp.where if isinstance(slot, jax.Array) else np.where
    return choose(ends, (slot // horizon + 1) * horizon, slot + 1)


def chunk_end(slot: Any, *, cadence: int) -> Any:
    """The first slot behind the chunk of a slot: `adapt` on that chunk consumes the first key of this slot."""
    return (slot // cadence + 1) * cadence


def _whole_chunk(agent: Agent, session: Session, step: Transition) -> Transition:
    """The chunk `[cadence]` that a step completes.

    Slots that did not happen repeat the last step before them. Zeros would not do: agents compute with what stands there before
    they mask it, and the logarithm of a zero scale is not finite.
    """
    if agent.cadence == 1:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], step)
    cadence, place = agent.cadence, session.slot % agent.cadence
    longer = jax.tree.map(lambda all, one: jnp.concatenate([all, jnp.zeros_like(one)[None]]), session.pending, step)
    chunk = jax.tree.map(lambda all, one: all.at[place].set(one), longer, step)
    seen = (chunk.observation, chunk.decision, chunk.outcome.observation)
    observation, decision, successor = fill_forward(
        seen, (step.observation, step.decision, step.outcome.observation), chunk.valid
    )
    outcome = Outcome(
        observation=successor,
        reward=jnp.where(chunk.valid, chunk.outcome.reward, 0.0),
        terminated=chunk.valid & chunk.outcome.terminated,
        truncated=chunk.valid & chunk.outcome.truncated,
    )
    slots = session.slot - place + jnp.arange(cadence, dtype=jnp.int32)
    return Transition(
        observation=observation, decision=decision, outcome=outcome, episode=slots // agent.spec.horizon, valid=chunk.valid
    )


def _zeros(like: PyTree, *leading: int) -> PyTree:
    """Zeros in the shapes and types of a tree, with more leading axes."""
    return jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), like)
