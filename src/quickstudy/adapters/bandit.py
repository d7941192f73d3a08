"""A contextual bandit with the methods that scikit-learn and MABWiser have, over one agent and one session for each group.

A *group* is one lifetime on one task: a user, an experiment, a shop. The agent learns each group separately, from that group's
rows alone. Knowledge about all groups is in its parameters, which nothing here changes.
"""

import itertools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.adapters.agents import actions_of, agent_and_params
from quickstudy.adapters.arm_rows import Group, Row, RowReader
from quickstudy.adapters.arm_sessions import ArmSessions
from quickstudy.adapters.arms import Arm, Arms, agent_for_arms
from quickstudy.adapters.states import read_state, written_state
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.session import Session
from quickstudy.storage.bundle import Bundle


class Bandit:
    """Chooses among arms, and learns each group from its own rows.

    Rows of a group are in the order of time. `fit` on all rows gives the same state as `fit` on the first and `partial_fit`
    on the rest.

    Args:
      source: a bundle, or an agent; Discrete actions.
      params: of an agent; not to be given with a bundle.
      arms: names of the arms; the numbers of the actions if not given.
      steps: rows that a group has at most; as in training if None. Only some agents serve other lengths.
      seed: of all randomness. The draws of a group follow from the seed, its name and the number of its rows.
      seed_of_training: which of the agents of a bundle.
    Raises:
      SpecError: the agent does not serve as many arms, or lifetimes of this length.
    Example:
      >>> import jax, quickstudy as qs
      >>> agent = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10).baselines["greedy"]()
      >>> bandit = Bandit(agent, agent.init(jax.random.key(0)), arms=["A", "B"])
      >>> bandit.fit(decisions=["A", "B", "B"], rewards=[0.0, 1.0, 1.0]).predict()
      'B'
    """

    def __init__(
        self,
        source: Bundle | Agent,
        params: PyTree | None = None,
        *,
        arms: Iterable[Arm] | None = None,
        steps: int | None = None,
        seed: int = 0,
        seed_of_training: int = 0,
    ):
        agent, self._params = agent_and_params(source, params, seed_of_training=seed_of_training)
        self._source, self._steps, self._seed = source, steps, seed
        self._rows: dict[Group, list[Row]] = {}
        self._told: dict[Group, tuple[int, Session]] = {}
        self._made: dict[int, tuple[Agent, ArmSessions]] = {}
        self._use(Arms.of(_numbers_of_actions(agent) if arms is None else arms))

    @property
    def arms(self) -> list[Arm]:
        """The arms that may be chosen."""
        return self._arms.present

    @property
    def groups(self) -> list[Group]:
        """The groups that have rows, in the order in which they first came."""
        return list(self._rows)

    def fit(self, decisions: Sequence, rewards: Sequence, contexts: Any = None, *, groups: Sequence | None = None) -> Self:
        """Forgets all rows, and takes in these.

        Args:
          decisions: the arm of each row.
          rewards: of each row, in the units that the agent was trained with; NaN where it is not known.
          contexts: the observation of each row; not needed where tasks have one observation only.
          groups: the group of each row; all rows are one group if None.
        Raises:
          UsageError: columns of different lengths, an arm that is not known, or a group with too many rows.
          SpecError: a context that is no element of the observation space, or no reward. Names the row.
        Nothing is changed by a call that raises.
        """
        arms = Arms.of(self.arms)
        rows = RowReader(spec=self._agent.spec).rows(arms, decisions, rewards, contexts, groups)
        self._check_lengths(rows, {})
        self._use(arms)
        self._rows, self._told = rows, {}
        return self

    def partial_fit(
        self, decisions: Sequence, rewards: Sequence, contexts: Any = None, *, groups: Sequence | None = None
    ) -> Self:
        """Takes in more rows; as of `fit`."""
        rows = RowReader(spec=self._agent.spec).rows(self._arms, decisions, rewards, contexts, groups)
        self._check_lengths(rows, self._rows)
        for group, more in rows.items():
            self._rows.setdefault(group, []).extend(more)
        return self

    def predict(self, contexts: Any = None, *, groups: Sequence | None = None) -> Any:
        """The arm to choose now. Nothing is changed: the same question has the same answer until rows come in.

        Args:
          contexts: one for each question; not needed where tasks have one observation only.
          groups: the group of each question; all are one group if None. A group without rows is a new one.
        Returns:
          A list of arms; one arm where neither contexts nor groups are given.
        Raises:
          UsageError: a group whose lifetime is over.
          SpecError: a context that is no element of the observation space.
        """
        actions, _ = self._decided(contexts, groups)
        chosen = [self._arms.names[action] for action in actions]
        return chosen[0] if contexts is None and groups is None else chosen

    def predict_expectations(self, contexts: Any = None, *, groups: Sequence | None = None) -> Any:
        """The numbers that arms are chosen by: for each question a dict from arm to number.

        They are the probabilities of the policy. Of an agent that has scores and no policy, they are its scores. They are not
        expected rewards.

        Args:
          contexts, groups: as of `predict`.
        Returns:
          A list of dicts; one dict where neither contexts nor groups are given.
        Raises:
          UsageError: an agent with neither a policy nor scores, or a group whose lifetime is over.
        """
        _, numbers = self._decided(contexts, groups)
        if numbers is None:
            raise UsageError("this agent gives neither a policy nor scores, so there are no expectations. Use predict().")
        kept = [(self._arms.place(arm), arm) for arm in self.arms]
        said = [{arm: float(row[place]) for place, arm in kept} for row in numbers]
        return said[0] if contexts is None and groups is None else said

    def add_arm(self, arm: Arm) -> Self:
        """One more arm, in every group. Memory of the other arms stays.

        Raises:
          SpecError: the agent serves one number of arms only. Nothing is changed then.
          UsageError: there is such an arm already.
        """
        return self._use(self._arms.added(arm))

    def remove_arm(self, arm: Arm) -> Self:
        """An arm that is never chosen again. Its rows stay in the memory of the groups, since they took time.

        Raises:
          SpecError: the agent serves one number of arms only. Nothing is changed then.
          UsageError: no such arm, or the last one.
        """
        left = self._arms.without(arm)
        if not self._agent.spec.action_mask:
            agent_for_arms(self._source, Arms.of(left.present), steps=self._steps)
        return self._use(left)

    def to_json(self) -> str:
        """All that this bandit has taken in, as JSON: arms and rows. `from_json` goes on from there.

        Raises:
          UsageError: a name of an arm or group that JSON does not keep apart: it keeps text, whole numbers and None.
        """
        return written_state(
            self._params, arms=self._arms, rows=self._rows, steps=self._steps, seed=self._seed, spec=self._agent.spec
        )

    @classmethod
    def from_json(
        cls, state: str, source: Bundle | Agent, params: PyTree | None = None, *, seed_of_training: int = 0
    ) -> "Bandit":
        """A bandit that goes on from a state.

        Args:
          state: as `to_json` gave it.
          source, params, seed_of_training: the same agent with the same parameters.
        Raises:
          UsageError: no such state, or one of other parameters.
        """
        _, given = agent_and_params(source, params, seed_of_training=seed_of_training)
        stored = read_state(state, given)
        bandit = cls(
            source,
            params,
            arms=stored["arms"].names,
            steps=stored["steps"],
            seed=stored["seed"],
            seed_of_training=seed_of_training,
        )
        for group, columns in stored["groups"]:
            count = len(columns["arms"])
            bandit.partial_fit(columns["arms"], columns["rewards"], columns["contexts"], groups=[group] * count)
        return bandit._use(stored["arms"])

    def _use(self, arms: Arms) -> Self:
        """Goes on with these arms; all groups are told their rows again where the agent is another one."""
        actions = len(arms.names)
        if actions not in self._made:
            agent = agent_for_arms(self._source, arms, steps=self._steps)
            same = [made for made in self._made.values() if made[0] is agent]
            self._made[actions] = same[0] if same else (agent, ArmSessions(agent, self._params))
        before = getattr(self, "_agent", None)
        self._agent, self._programs = self._made[actions]
        if self._agent is not before:
            self._told = {}
        self._arms = arms
        return self

    def _check_lengths(self, rows: Mapping[Group, list[Row]], before: Mapping[Group, list[Row]]) -> None:
        most = self._agent.spec.lifetime_steps
        for group, more in rows.items():
            total = len(before.get(group, [])) + len(more)
            if total > most:
                raise UsageError(
                    f"group {group!r:.80} has {total} rows; the agent was made for lifetimes of {most}. Give fewer rows, name "
                    "the groups, or make the Bandit with more steps. Nothing was changed."
                )

    def _session_of(self, group: Group) -> Session:
        """The session of a group after all its rows but the newest."""
        if group not in self._told:
            key = jax.random.fold_in(jax.random.key(self._seed), zlib.crc32(repr(group).encode()))
            self._told[group] = 0, self._programs.begin(key)
        count, session = self._told[group]
        rows = self._rows.get(group, [])
        if len(rows) - 1 > count:
            horizon = self._agent.spec.horizon
            following = [  # after the last row of an episode, the next observation is that of a new one
                before[0] if place % horizon == horizon - 1 else after[0]
                for place, (before, after) in enumerate(itertools.pairwise(rows))
            ]
            session = self._programs.take_in(session, rows[count:-1], following[count:])
            self._told[group] = len(rows) - 1, session
        return session

    def _decided(self, contexts: Any, groups: Sequence | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The place of the chosen arm, and the numbers it was chosen by, for each question."""
        spec = self._agent.spec
        seen, asked = RowReader(spec=spec).asked(self._arms, contexts, groups)
        actions, first = actions_of(spec)
        places, numbers, gives_numbers = np.zeros(len(seen), int), np.zeros((len(seen), actions)), True
        for group, at in asked.items():
            rows = self._rows.get(group, [])
            if len(rows) >= spec.lifetime_steps:
                raise UsageError(
                    f"the lifetime of group {group!r:.80} is over: it has all {len(rows)} rows of one. Name a new group."
                )
            chosen, said = self._programs.decide(
                self._session_of(group), rows[-1] if rows else None, [seen[i] for i in at], allowed=self._arms.allowed(actions)
            )
            places[at] = chosen - first
            gives_numbers = said is not None
            numbers[at] = said if said is not None else np.nan
        return places, numbers if gives_numbers else None


def _numbers_of_actions(agent: Agent) -> range:
    actions, first = actions_of(agent.spec)
    return range(first, first + actions)
