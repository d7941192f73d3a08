"""Rows that people bring: arms, rewards and contexts, checked and sorted by group."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import gymnasium
import numpy as np

from quickstudy.adapters.agents import actions_of
from quickstudy.adapters.arms import Arms
from quickstudy.protocol.casting import Elements
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Spec
from quickstudy.rollout.actor import checked_reward

Group = Hashable
Row = tuple[np.ndarray, int, float]
"""The observation, the action, and the reward."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowReader:
    """Casts rows and contexts to what an agent reads.

    Args:
      spec: of the agent; Discrete actions.
    """

    spec: Spec

    def rows(
        self, arms: Arms, decisions: Sequence, rewards: Sequence, contexts: Any, groups: Sequence | None
    ) -> dict[Group, list[Row]]:
        """Rows by group, in order.

        Args:
          arms: that decisions name.
          decisions, rewards, contexts, groups: as of `Bandit.fit`.
        Raises:
          UsageError: columns of different lengths, or an arm that is not known.
          SpecError: a context or a reward that is none. Names the row.
        """
        count = len(decisions)
        columns = {"rewards": rewards, "contexts": contexts, "groups": groups}
        for name, column in columns.items():
            if column is not None and len(column) != count:
                raise UsageError(f"decisions have {count} rows and {name} {len(column)}; give one for each row.")
        sorted_rows: dict[Group, list[Row]] = {}
        _, first = actions_of(self.spec)
        for number in range(count):
            place = arms.place(_plain(decisions[number]))
            try:
                reward = checked_reward(rewards[number])
            except SpecError as error:
                raise SpecError(f"row {number}: {error}") from error
            seen = self.observation(arms, None if contexts is None else contexts[number], number, chosen=place)
            group = None if groups is None else _plain(groups[number])
            sorted_rows.setdefault(group, []).append((seen, place + first, reward))
        return sorted_rows

    def observation(self, arms: Arms, context: Any, number: int, *, chosen: int | None = None) -> np.ndarray:
        """An observation from a context. Where tasks have an action mask, the arms that may be chosen are added to it.

        Args:
          arms: that may be chosen.
          context: of the row; None where there is none.
          number: of the row, for messages.
          chosen: the place of an arm that was chosen there, so that it was allowed.
        Raises:
          UsageError: no context, though tasks have different observations.
          SpecError: it is no element of the observation space.
        """
        space = self.spec.observation_space
        if context is None:
            if isinstance(space, gymnasium.spaces.Discrete) and int(space.n) == 1:
                return np.asarray(space.start, Elements(space).kind)
            if not self._takes_no_features():
                raise UsageError(f"this agent observes {space}; give contexts, one for each row.")
            context = np.zeros(0)
        if self.spec.action_mask and np.ndim(context) == 1 and len(context) < int(space.shape[0]):  # type: ignore[index]
            allowed = arms.allowed(actions_of(self.spec)[0])
            if chosen is not None:
                allowed[chosen] = True
            context = np.concatenate([np.asarray(context, np.float64), allowed])
        try:
            return Elements(space, what="a context").cast(context).copy()
        except SpecError as error:
            raise SpecError(f"row {number}: {error}") from error

    def _takes_no_features(self) -> bool:
        """Whether observations are the action mask and nothing else."""
        return self.spec.action_mask and self.spec.observation_space.shape == (actions_of(self.spec)[0],)


def places_by_group(groups: Sequence) -> dict[Group, list[int]]:
    """The rows of each group, in order."""
    found: dict[Group, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(_plain(group), []).append(place)
    return found


def _plain(name: Any) -> Any:
    """A name as Python has it: columns of NumPy hold their own numbers and texts."""
    return name.item() if isinstance(name, np.generic) else name
