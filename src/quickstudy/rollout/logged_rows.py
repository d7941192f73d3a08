"""An agent along rows of a log: its own decisions at them, and its memory after them.

Any policy may have written the log: another agent, a person, an earlier version. At each row the agent decides on the
observation. Then it takes in the logged action and what followed, as by `Actor.observe(action=...)`. So the results are those
of an `Actor`, but the whole log is one compiled program.
"""

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.given_actions import gives_policy, taken_instead
from quickstudy.protocol.records import Decision, Outcome, record
from quickstudy.rollout import session as sessions
from quickstudy.rollout.log_columns import LogColumns
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.session import Session


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayedRows:
    """What an agent makes of the rows of a log.

    Args:
      decisions: its own decision at each row, leaves `[rows, ...]`, before it knew the logged action.
      log_probabilities: `[rows]`, natural logarithms of the taken actions' probabilities under the agent (densities for a Box);
        None where the agent gives no policy.
      memory: its memory after the last row of each lifetime, up to its last `adapt`; leaves `[lifetimes, ...]`.
      lifetimes: the values of the column `lifetime`, in the order in which they first appear.
      sessions: leaves `[lifetimes, ...]`; `session_of` gives one of them.
    """

    decisions: Decision
    log_probabilities: Float32[np.ndarray, " rows"] | None
    memory: PyTree
    lifetimes: list[Hashable]
    sessions: Session

    def session_of(self, lifetime: Hashable) -> Session:
        """The session after the last row of a lifetime. `Actor.resume` goes on from there.

        Raises:
          UsageError: no such lifetime.
        """
        if lifetime not in self.lifetimes:
            raise UsageError(f"the rows hold no lifetime {lifetime!r:.80}; they hold {len(self.lifetimes)}.")
        place = self.lifetimes.index(lifetime)
        return jax.tree.map(lambda leaf: leaf[place], self.sessions)


@record
class LoggedSteps:
    """Rows of a log as steps `[T, lifetimes, ...]`; those behind the end of a lifetime are not valid."""

    observation: Array
    action: PyTree
    reward: Array
    successor: Array
    terminated: Bool[Array, "*time"]
    truncated: Bool[Array, "*time"]
    valid: Bool[Array, "*time"]


def replay(
    agent: Agent,
    params: PyTree,
    rows: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    endless: bool = False,
) -> ReplayedRows:
    """Runs an agent along the rows of a log, at compiled speed.

    Args:
      agent: that decides and adapts; it is wrapped by `with_nonfinite_guard`, as in an `Actor`.
      params: its parameters, without a leading axis of seeds.
      rows: columns of equal length by name, such as a dict of arrays or a table of pandas; or a list of dicts, one for each
        row. Rows of one lifetime stand in the order of time; rows of several may be mixed. The columns are:

            observation         that was acted on
            action              that was taken
            reward              that followed; NaN where it is not known
            next_observation    that followed; at the end of an episode its true last one. Without this column it is the
                                observation of the lifetime's next row, and at the end of an episode or a lifetime its own
            terminated          whether the task ended the episode there; False without this column
            truncated           whether something else did; False without this column. The horizon ends episodes by itself
            lifetime            which lifetime a row belongs to; all rows are one lifetime without this column

      seed: of the agent's randomness. Lifetime i has the randomness of task i of an `Actor` with this seed.
      endless: allow lifetimes that are longer than those that the agent was made for. Nothing was trained or measured there.
    Raises:
      UsageError: no rows, a column that is missing or not known, columns of different lengths, or a lifetime that is too long.
      SpecError: a value that is no element of its space. Names the row.
    Example:
      >>> import jax, quickstudy as qs
      >>> agent = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10).baselines["greedy"]()
      >>> rows = {"observation": [0, 0, 0], "action": [1, 1, 0], "reward": [1.0, 1.0, 0.0]}
      >>> int(replay(agent, agent.init(jax.random.key(0)), rows).memory.pulls[0, 1])
      2
    """
    log = LogColumns.of(rows, agent.spec)
    steps, place = _steps(log)
    guarded = with_nonfinite_guard(agent)
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(len(log.lifetimes)))
    slots, decisions, log_probability, ended = _program(guarded)(params, steps, keys)
    longest = int(np.asarray(slots)[place].max()) + 1
    if longest > agent.spec.lifetime_steps and not endless:
        raise UsageError(
            f"a lifetime of the rows reaches slot {longest}; the agent was made for {agent.spec.lifetime_steps}. Replay fewer "
            "rows of it, name the lifetimes in a column 'lifetime', or give endless=True."
        )
    by_row = lambda leaf: np.asarray(leaf)[place]  # noqa: E731
    return ReplayedRows(
        decisions=jax.tree.map(by_row, decisions),
        log_probabilities=None if log_probability is None else by_row(log_probability),
        memory=ended.memory.memory,
        lifetimes=log.lifetimes,
        sessions=ended,
    )


def _steps(log: LogColumns) -> tuple[LoggedSteps, tuple[np.ndarray, np.ndarray]]:
    """The rows by time and lifetime, and the place `(time, lifetime)` of each row."""
    shape = (int(log.step.max()) + 1, len(log.lifetimes))
    place = (log.step, log.lifetime)

    def laid_out(column: np.ndarray) -> Array:
        laid = np.zeros((*shape, *column.shape[1:]), column.dtype)
        laid[place] = column
        return jnp.asarray(laid)

    columns = {
        name: jax.tree.map(laid_out, getattr(log, name))
        for name in ("observation", "action", "reward", "successor", "terminated", "truncated")
    }
    return LoggedSteps(**columns, valid=laid_out(np.ones(len(log.step), bool))), place


def after_row(agent: Agent, params: PyTree, session: Session, row: LoggedSteps) -> tuple[Session, Decision, PyTree]:
    """The session after one row of a log: the agent decides, and then takes in the logged action and what followed.

    Args:
      agent: that decides and adapts.
      params: its parameters.
      session: one that awaits no outcome.
      row: one step, `[]`. A row that is not valid changes nothing.
    Returns:
      The session after the row, the agent's own decision, and the action that was taken with the types of the agent's.
    """
    decided = sessions.decide(agent, params, session, row.observation)
    own = decided.decision
    action = jax.tree.map(lambda given, like: given.astype(like.dtype), row.action, own.action)
    taken = taken_instead(own, action)
    outcome = Outcome(observation=row.successor, reward=row.reward, terminated=row.terminated, truncated=row.truncated)
    # Behind the end of a lifetime nothing is awaited, so nothing changes.
    decided = dataclasses.replace(decided, decision=taken, awaits_outcome=row.valid)
    after = sessions.observe(agent, params, decided, outcome)
    after = dataclasses.replace(after, decision=_where(row.valid, taken, session.decision))
    after = dataclasses.replace(after, observation=_where(row.valid, decided.observation, session.observation))
    return after, own, action


def _program(agent: Agent) -> Any:
    """`(params, steps, keys) -> (slots, decisions, log-probabilities of what was taken, sessions)`, leaves `[T, lifetimes]`."""

    def step(params: PyTree, session: Session, row: LoggedSteps) -> tuple[Session, tuple]:
        after, own, taken = after_row(agent, params, session, row)
        said = own.extras["policy"].log_probability(taken) if gives_policy(own.extras) else None
        return after, (session.slot, own, said)

    def lifetime(params: PyTree, rows: LoggedSteps, key: Array) -> tuple[Int[Array, " T"], Decision, Any, Session]:
        ended, (slots, own, said) = jax.lax.scan(functools.partial(step, params), sessions.begin(agent, params, key), rows)
        return slots, own, said, ended

    if agent.cadence == 1:
        return jax.jit(jax.vmap(lifetime, (None, 1, 0), (1, 1, 1, 0)))

    def one_by_one(params: PyTree, rows: LoggedSteps, keys: Array) -> tuple:
        # Side by side, every step would compute `adapt`. One by one, only the last step of a chunk does.
        by_lifetime = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), rows)
        slots, own, said, ended = jax.lax.map(lambda each: lifetime(params, *each), (by_lifetime, keys))
        slots, own, said = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (slots, own, said))
        return slots, own, said, ended

    return jax.jit(one_by_one)


def _where(happened: Bool[Array, ""], now: PyTree, before: PyTree) -> PyTree:
    return jax.tree.map(lambda new, old: jnp.where(happened, new, old), now, before)
