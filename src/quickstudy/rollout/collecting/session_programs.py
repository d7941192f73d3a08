"""The compiled programs of one agent that runs many lifetimes side by side: the `vmap` of one session.

Sessions stand at different slots. Where an episode ends early, its session goes on with the next one and waits for no other.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, UInt32

from quickstudy.protocol.action_spaces import user_actions
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome
from quickstudy.protocol.sequences import where
from quickstudy.rollout import session as sessions
from quickstudy.rollout.collecting.packing import Packing
from quickstudy.rollout.leaves import Leaves
from quickstudy.rollout.session import Session

HAPPENED, BEGINS, TERMINATED, TRUNCATED, REWARD = range(5)
"""Columns of the numbers `[sessions, 5]` that cross to the device in every round, all as int32.

`HAPPENED`: the last decision was carried out, and the other columns say what followed; the reward by its bits. `BEGINS`: a new
lifetime starts here, whatever the session was."""
COLUMNS = 5


class SessionPrograms:
    """The next decision of all sessions, in one call.

    Parameters and sessions cross as flat lists of leaves: flattening a tree of modules costs more than a small network.

    Args:
      agent: whose functions are compiled, when they are first called.
    """

    def __init__(self, agent: Agent):
        self.agent = agent
        key = jax.eval_shape(lambda: jax.random.key(0))
        params = jax.eval_shape(agent.init, key)
        session: Session = jax.eval_shape(partial(sessions.begin, agent), params, key)
        self._params, self._sessions = jax.tree.structure(params), Leaves(session)
        self.packing = Packing(session.decision)
        self._action = self.packing.numbers().action
        each = (None, *[0] * 5)
        compiled = lambda **which: jax.jit(  # noqa: E731
            jax.vmap(partial(self._advance, **which), each), donate_argnums=1
        )
        self._within_chunk = compiled(begins=False, adapts=False)
        self._adapting = compiled(begins=False, adapts=True)
        self._beginning = compiled(begins=True, adapts=True)

    def blank(self, count: int) -> list[Array]:
        """The leaves of `count` sessions that have not begun."""
        return self._sessions.blank(count)

    def advance(
        self,
        params: list[Array],
        leaves: list[Array],
        successor: np.ndarray,
        seen: np.ndarray,
        numbers: Int32[np.ndarray, "sessions columns"],
        keys: UInt32[np.ndarray, "sessions 2"],
        *,
        begins: bool,
        adapts: bool,
    ) -> tuple[list[Array], UInt32[Array, "sessions words"]]:
        """Takes in what followed the last decisions, and makes the next ones.

        Args:
          params: leaves of the agent's parameters.
          leaves: of the sessions; consumed.
          successor: `[sessions, ...]`, the observations that followed the last decisions.
          seen: `[sessions, ...]`, the observations to decide on.
          numbers: by the columns above.
          keys: key data of the agent's randomness in each lifetime; read where a lifetime begins.
          begins: whether a lifetime begins in any session.
          adapts: True: every step that happened fills its chunk. False: none does; sessions where nothing happened wait,
            and stay as they are.
        Returns:
          The sessions after that, and their decisions as rows of words.
        """
        if not adapts:
            program = self._within_chunk
        elif begins or self.agent.cadence > 1:
            # `adapt` on a longer chunk is by far the largest part, so it is compiled into one program only.
            program = self._beginning
        else:
            program = self._adapting
        return program(params, leaves, successor, seen, numbers, keys)

    def actions(self, words: UInt32[np.ndarray, "sessions words"]) -> Sequence[Any]:
        """The action of every session, as environments take it (`user_actions`)."""
        action = jax.tree.map(lambda number: self.packing.leaf(number, words), self._action)
        return user_actions(action, self.agent.spec.action_space)

    def _advance(
        self,
        params: list[Array],
        leaves: list[Array],
        successor: Array,
        seen: Array,
        numbers: Int32[Array, " columns"],
        key: UInt32[Array, "2"],
        *,
        begins: bool,
        adapts: bool,
    ) -> tuple[list[Array], UInt32[Array, " words"]]:
        """`advance` for one session."""
        tree = jax.tree.unflatten(self._params, params)
        happened = numbers[HAPPENED] > 0
        before: Session = self._sessions.tree(leaves)
        outcome = Outcome(
            observation=successor,
            reward=jax.lax.bitcast_convert_type(numbers[REWARD], jnp.float32),
            terminated=numbers[TERMINATED] > 0,
            truncated=numbers[TRUNCATED] > 0,
        )
        session = sessions.observe(
            self.agent, tree, dataclasses.replace(before, awaits_outcome=happened), outcome, adapts=adapts
        )
        if begins:
            begun = sessions.begin(self.agent, tree, jax.random.wrap_key_data(key))
            session = where(numbers[BEGINS] > 0, begun, session)
        session = sessions.decide(self.agent, tree, session, seen)
        if not adapts:
            waiting = (before.observation, before.decision)
            observation, decision = where(happened, (session.observation, session.decision), waiting)
            session = dataclasses.replace(session, observation=observation, decision=decision)
        return self._sessions.of(session), self.packing.pack(session.decision)


@jax.jit
def lifetime_keys(keys: UInt32[Array, "lifetimes 2"]) -> tuple[UInt32[Array, "lifetimes 2"], UInt32[Array, "lifetimes 2"]]:
    """The agent's and the environment's share of the keys of lifetimes, as in `run_lifetime`; all as key data."""
    split = jax.vmap(lambda key: jax.random.key_data(jax.random.split(jax.random.wrap_key_data(key))))(keys)
    return split[:, 0], split[:, 1]
