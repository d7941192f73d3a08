"""Sessions of groups, which take in rows of a log and decide: the compiled programs behind `Bandit`.

    observation after a row     known with the group's next row, or with the next question; at the end of an episode its own

So the newest row of a group waits. A session holds all rows but that one, and each question completes it with its own context.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.numerics.distributions import Categorical
from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.allowed_actions import only_allowed
from quickstudy.protocol.records import blank_observation
from quickstudy.rollout import session as sessions
from quickstudy.rollout.logged_rows import LoggedSteps, after_row
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.session import Session

_AT_ONCE = 64
"""Rows that one call of a program takes in, and decisions that one call gives."""


class ArmSessions:
    """The programs of one agent.

    Args:
      agent: that decides and adapts; Discrete actions.
      params: its parameters.
    """

    def __init__(self, agent: Agent, params: PyTree):
        self._agent, self._params = with_nonfinite_guard(agent), params
        blank = blank_observation(agent.spec)
        self._blank = np.zeros(blank.shape, blank.dtype)
        self._begin = jax.jit(functools.partial(sessions.begin, self._agent))
        self._take_in = jax.jit(functools.partial(_take_in, self._agent))
        self._decide = jax.jit(jax.vmap(functools.partial(_decide, self._agent), (None, None, None, 0, 0, None)))

    def begin(self, key: PRNGKeyArray) -> Session:
        """The session of a group before its first row."""
        return self._begin(self._params, key)

    def take_in(self, session: Session, rows: list[tuple[np.ndarray, int, float]], following: list[np.ndarray]) -> Session:
        """The session after more rows.

        Args:
          session: of the group.
          rows: observation, action and reward of each.
          following: the observation after each.
        """
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            after = following[start : start + _AT_ONCE]
            session = self._take_in(self._params, session, self._steps(part, after, length=_AT_ONCE))
        return session

    def decide(
        self,
        session: Session,
        waiting: tuple[np.ndarray, int, float] | None,
        observations: list[np.ndarray],
        *,
        allowed: Bool[np.ndarray, " actions"],
    ) -> tuple[Int[np.ndarray, " observations"], Float[np.ndarray, "observations actions"] | None]:
        """Actions, and the numbers that they are chosen by, for each observation; all from the same memory.

        The numbers are the probabilities of the policy, or the scores of an agent that has no policy; None of any other agent.

        Args:
          session: of the group.
          waiting: its newest row, if it has one; each observation is what followed it, unless it ends an episode.
          observations: that are decided on.
          allowed: which actions may be chosen.
        """
        one = [waiting] if waiting is not None else []
        row = jax.tree.map(lambda leaf: leaf[0], self._steps(one, [self._blank] * len(one), length=1))
        size = 1 if len(observations) == 1 else _AT_ONCE
        parts = []
        for start in range(0, len(observations), size):
            seen = observations[start : start + size]
            filled = np.stack(seen + [seen[0]] * (size - len(seen)))
            offsets = np.arange(start, start + size, dtype=np.int32)
            decided = self._decide(self._params, session, row, filled, offsets, allowed)
            parts.append(jax.tree.map(lambda leaf, seen=seen: np.asarray(leaf)[: len(seen)], decided))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _steps(self, rows: list[Any], following: list[np.ndarray], *, length: int) -> LoggedSteps:
        """Rows as steps `[length]`; those behind the last one are not valid."""
        missing = length - len(rows)
        no = jnp.zeros(length, bool)
        kind = jnp.int32
        return LoggedSteps(
            observation=jnp.asarray(np.stack([row[0] for row in rows] + [self._blank] * missing)),
            action=jnp.asarray([row[1] for row in rows] + [int(self._agent.spec.action_space.start)] * missing, kind),  # type: ignore[union-attr]
            reward=jnp.asarray([row[2] for row in rows] + [0.0] * missing, jnp.float32),
            successor=jnp.asarray(np.stack([*following, *[self._blank] * missing])),
            terminated=no,
            truncated=no,
            valid=jnp.asarray(np.arange(length) < len(rows)),
        )


def _take_in(agent: Agent, params: PyTree, session: Session, rows: LoggedSteps) -> Session:
    def step(session: Session, row: LoggedSteps) -> tuple[Session, None]:
        return after_row(agent, params, session, row)[0], None

    return jax.lax.scan(step, session, rows)[0]


def _decide(
    agent: Agent,
    params: PyTree,
    session: Session,
    waiting: LoggedSteps,
    observation: Array,
    offset: Int[Array, ""],
    allowed: Bool[Array, " actions"],
) -> tuple[Int[Array, ""], Float[Array, " actions"] | None]:
    """A decision after the row that waits; `offset` keeps the draws of several questions apart."""
    horizon = agent.spec.horizon
    successor = jnp.where(session.slot % horizon == horizon - 1, waiting.observation, observation)
    session = after_row(agent, params, session, dataclasses.replace(waiting, successor=successor))[0]
    key_action = slot_key(jax.random.wrap_key_data(jnp.asarray(session.key)), session.slot + offset)[1]
    decision = sessions.decide(agent, params, session, observation, key_action=key_action).decision
    both = allowed & agent.spec.allowed(observation)
    held = only_allowed(decision, both, key_action, spec=agent.spec)
    action = jnp.where(allowed.all(), decision.action, held.action)
    policy, scores = held.extras.get("policy"), held.extras.get("scores")
    return action, jax.nn.softmax(policy.logits) if isinstance(policy, Categorical) else scores
