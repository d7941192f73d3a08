"""The compiled programs of an `Actor`, built for low latency.

Three things make a decision fast, each measured by `benchmarks/latency.py`:

- Every array that crosses from Python to the device costs microseconds. So everything that Python knows (slot, flags, reward,
  keys) crosses as one array of 32-bit words, and the session's slot and key are not carried on the device.
- Flattening a tree costs more than a small network. So the carried part of a session crosses as a flat list of its leaves.
- The carried leaves are donated, so that memory is updated in place.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, PRNGKeyArray, PyTree, UInt32

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.given_actions import taken_instead
from quickstudy.protocol.records import Decision, Outcome, Transition, record
from quickstudy.rollout import session as sessions
from quickstudy.rollout.leaves import Leaves
from quickstudy.rollout.session import Session, chunk_end

SLOTS_AT_ONCE = 1024
"""Slots whose keys are drawn in one call, between decisions: drawing a key takes longer than a small network."""
_SLOT, _AWAITS, _TERMINATED, _TRUNCATED, _REWARD, _KEYS = range(6)
"""Places in the words `[5 + 2 * key words]` that cross to the device; the reward and the keys by their bits."""


class Followed(NamedTuple):
    """What followed a decision, as Python knows it: the decision's slot, the outcome, and its final flags."""

    slot: int
    successor: np.ndarray
    reward: float
    terminated: bool
    truncated: bool

    def outcome(self) -> Outcome:
        """As arrays."""
        return Outcome(
            observation=jnp.asarray(self.successor),
            reward=jnp.float32(self.reward),
            terminated=jnp.asarray(self.terminated),
            truncated=jnp.asarray(self.truncated),
        )


@record
class Carried:
    """The part of a session that stays on the device between decisions; the fields of `Session`."""

    memory: PyTree
    pending: Transition
    observation: Array
    decision: Decision

    def session(self, *, slot: Int32[Array, ""], key: UInt32[Array, " words"], awaits_outcome: Bool[Array, ""]) -> Session:
        """The whole session."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Session(slot=slot, key=key, awaits_outcome=awaits_outcome, **parts)


class ActorPrograms:
    """The programs of one agent with one set of parameters, which are constants in them.

    Args:
      agent: the agent as it is to act, guarded or not.
      params: its parameters, without a leading axis of seeds.

    The attribute `like` holds the shapes and types of a session.
    """

    def __init__(self, agent: Agent, params: PyTree):
        self._agent, self._params = agent, params
        self.like = jax.eval_shape(partial(sessions.begin, agent, params), jax.random.key(0))
        self._leaves = Leaves(_carried(self.like))
        # Two programs rather than a branch in one: Python knows which of them a slot needs.
        self._later = {
            adapts: jax.jit(partial(self._observe_and_decide, adapts=adapts), donate_argnums=0) for adapts in (False, True)
        }
        self._first = jax.jit(self._begin_and_decide)
        self._taken = jax.jit(self._with_action, donate_argnums=0)
        self.begin = jax.jit(partial(sessions.begin, agent, params))
        self.observe = jax.jit(partial(sessions.observe, agent, params))

    def compile(self) -> None:
        """Runs every program of a decision once, on blank input."""
        blank = np.zeros(self.like.observation.shape, self._agent.spec.observation_space.dtype)
        key = np.zeros(self.like.key.shape, np.uint32)
        for slot in {0, self._agent.cadence - 1}:
            _, carried = self._first(key, blank)
            followed = Followed(slot, blank, 0.0, False, False)
            jax.block_until_ready(self.later(carried, blank, followed, slot=slot + 1, key_adapt=key, key_action=key))

    @staticmethod
    def draws(key: PRNGKeyArray, start: int) -> UInt32[np.ndarray, "slots 2 words"]:
        """The key data of many slots from `start` on: what `later` is given as its keys."""
        return np.asarray(_key_block(key, start))

    def first(self, key: UInt32[Array, " words"], observation: np.ndarray, key_action: Any) -> tuple[PyTree, list[Array]]:
        """The first action on a task, and the carried leaves.

        Args:
          key: of the session, from which the program makes the key of the action itself.
          observation: the first one.
          key_action: what `draws` gave for the action of slot 0.
        """
        del key_action
        return self._first(key, observation)

    def later(
        self,
        carried: list[Array],
        observation: np.ndarray,
        followed: Followed | None,
        *,
        slot: int,
        key_adapt: UInt32[np.ndarray, " words"],
        key_action: UInt32[np.ndarray, " words"],
    ) -> tuple[PyTree, list[Array]]:
        """The next action, and the carried leaves after it.

        Args:
          carried: leaves that the call before gave; consumed.
          observation: the present one.
          followed: the outcome of the last decision; None where a session was resumed that has observed it already.
          slot: of this decision.
          key_adapt: the first key of the slot behind the last decision's chunk.
          key_action: the second key of `slot`.
        """
        words = np.empty(_KEYS + key_adapt.size + key_action.size, np.int32)
        if followed is None:
            adapts, successor, words[:_KEYS] = self._agent.cadence == 1, observation, (slot, 0, 0, 0, 0)
        else:
            last, successor, reward, terminated, truncated = followed
            adapts = slot >= chunk_end(last, cadence=self._agent.cadence)
            words[:_REWARD] = last, True, terminated, truncated
            words[_REWARD:_KEYS].view(np.float32)[0] = reward
        words[_KEYS:].view(np.uint32)[:] = np.concatenate([key_adapt, key_action])
        return self._later[adapts](carried, observation, successor, words)

    def taken(self, carried: list[Array], action: PyTree) -> list[Array]:
        """The carried leaves, consumed, with another action as the one that the last decision took."""
        cast = lambda given, like: np.asarray(given, like.dtype)  # noqa: E731
        return self._taken(carried, jax.tree.map(cast, action, self.like.decision.action))

    def opened(self, carried: list[Array]) -> Carried:
        """Carried leaves as a record."""
        return self._leaves.tree(carried)

    def closed(self, session: Session) -> list[Array]:
        """The inverse: the carried leaves of a session, as arrays of their own on the device."""
        return [jnp.array(leaf) for leaf in self._leaves.of(_carried(session))]

    def _with_action(self, carried: list[Array], action: PyTree) -> list[Array]:
        known = self.opened(carried)
        return self._leaves.of(dataclasses.replace(known, decision=taken_instead(known.decision, action)))

    def _flat(self, session: Session) -> tuple[PyTree, list[Array]]:
        return session.decision.action, self._leaves.of(_carried(session))

    def _begin_and_decide(self, key: UInt32[Array, " words"], observation: Array) -> tuple[PyTree, list[Array]]:
        session = sessions.begin(self._agent, self._params, jax.random.wrap_key_data(key))
        return self._flat(sessions.decide(self._agent, self._params, session, observation))

    def _observe_and_decide(
        self, carried: list[Array], observation: Array, successor: Array, words: Int32[Array, " words"], *, adapts: bool
    ) -> tuple[PyTree, list[Array]]:
        outcome = Outcome(
            observation=successor,
            reward=jax.lax.bitcast_convert_type(words[_REWARD], jnp.float32),
            terminated=words[_TERMINATED] > 0,
            truncated=words[_TRUNCATED] > 0,
        )
        keys: Array = jax.random.wrap_key_data(jax.lax.bitcast_convert_type(words[_KEYS:], jnp.uint32).reshape(2, -1))
        # Both keys are given, so the lifetime's own is not needed.
        session = self.opened(carried).session(
            slot=words[_SLOT], key=jnp.zeros(self.like.key.shape, jnp.uint32), awaits_outcome=words[_AWAITS] > 0
        )
        session = sessions.observe(self._agent, self._params, session, outcome, adapts=adapts, key_adapt=keys[0])
        return self._flat(sessions.decide(self._agent, self._params, session, observation, key_action=keys[1]))


@jax.jit
def _key_block(key: PRNGKeyArray, start: Array) -> Array:
    slots = start + jnp.arange(SLOTS_AT_ONCE)
    return jax.random.key_data(jax.vmap(slot_key, (None, 0))(key, slots))


def _carried(session: Session) -> Carried:
    return Carried(memory=session.memory, pending=session.pending, observation=session.observation, decision=session.decision)
