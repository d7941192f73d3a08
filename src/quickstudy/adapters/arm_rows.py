"""Rows that people bring: arms, rewards and contexts, checked and sorted by group."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np

from quickstudy.adapters.agents import actions_of
from quickstudy.adapters.arms import Arms
from quickstudy.adapters.columns import entries, plain_name, shown
from quickstudy.protocol.casting import Elements
from quickstudy.protocol.errors import SpecError, UnknownNameError, UsageError
from quickstudy.protocol.given_actions import check_allowed
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
        """Rows by group, in order. Columns are read by place; labels of a table have no part in it.

        Args:
          arms: that decisions name.
          decisions, rewards, contexts, groups: as of `Bandit.fit`.
        Raises:
          UsageError: columns of different lengths, an arm that is not known, or a group that cannot be a name.
          SpecError: a context or a reward that is none, or an arm that the context forbids. Names the row.
        """
        chosen, brought = entries("decisions", decisions), entries("rewards", rewards)
        seen = None if contexts is None else entries("contexts", contexts)
        named = [None] * len(chosen) if groups is None else entries("groups", groups)
        for title, column in {"rewards": brought, "contexts": seen, "groups": named}.items():
            if column is not None and len(column) != len(chosen):
                raise UsageError(f"decisions have {len(chosen)} rows and {title} {len(column)}; give one for each row.")
        sorted_rows: dict[Group, list[Row]] = {}
        _, first = actions_of(self.spec)
        for number, (decision, reward, group) in enumerate(zip(chosen, brought, named, strict=True)):
            try:
                place = arms.place(plain_name("an arm", decision), row=number)
                name, earned = plain_name("a group", group), checked_reward(reward)
                observed = self.observation(arms, None if seen is None else seen[number], chosen=place)
                check_allowed(np.asarray(place + first), observed, self.spec)
            except UnknownNameError:
                raise
            except UsageError as error:
                raise type(error)(f"row {number}: {error}") from error
            sorted_rows.setdefault(name, []).append((observed, place + first, earned))
        return sorted_rows

    def asked(self, arms: Arms, contexts: Any, groups: Sequence | None) -> tuple[list[np.ndarray], dict[Group, list[int]]]:
        """The observation of each question, and the questions of each group, in order.

        Args:
          arms: that may be chosen.
          contexts, groups: as of `Bandit.predict`.
        Raises:
          UsageError: columns of different lengths, or a group that cannot be a name.
          SpecError: a context that is none, or that allows no arm. Names the row.
        """
        given = None if contexts is None else entries("contexts", contexts)
        named = None if groups is None else entries("groups", groups)
        if given is not None and named is not None and len(given) != len(named):
            raise UsageError(f"there are {len(given)} contexts and {len(named)} groups; give one for each question.")
        count = len(given) if given is not None else 1 if named is None else len(named)
        seen, places = [], dict[Group, list[int]]()
        for number in range(count):
            try:
                observed = self.observation(arms, None if given is None else given[number])
                self._check_any_arm(arms, observed)
                group = None if named is None else plain_name("a group", named[number])
            except UsageError as error:
                raise type(error)(f"row {number}: {error}") from error
            seen.append(observed)
            places.setdefault(group, []).append(number)
        return seen, places

    def observation(self, arms: Arms, context: Any, *, chosen: int | None = None) -> np.ndarray:
        """An observation from a context. Where tasks have an action mask, the arms that may be chosen are added to it.

        Args:
          arms: that may be chosen.
          context: of the row; None where there is none.
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
        if self.spec.action_mask:
            context = self._with_mask(arms, context, chosen)
        return Elements(space, what="a context").cast(context).copy()

    def _with_mask(self, arms: Arms, context: Any, chosen: int | None) -> Any:
        """The context with the arms that may be chosen; unchanged if it has an action mask already."""
        actions, numbers = actions_of(self.spec)[0], int(self.spec.observation_space.shape[0])  # type: ignore[index]
        try:
            features = np.asarray(context)
        except ValueError:  # rows of different lengths
            features = np.asarray(None)
        if features.shape == (numbers,):
            return context
        if features.shape != (numbers - actions,) or (features.size and features.dtype.kind not in "biuf"):
            raise SpecError(
                f"a context must have {numbers - actions} numbers, or {numbers} with an action mask at the end; came "
                f"{shown(context)}. Nothing was changed."
            )
        allowed = arms.allowed(actions)
        if chosen is not None:
            allowed[chosen] = True
        return np.concatenate([features.astype(np.float64), allowed])

    def _check_any_arm(self, arms: Arms, observed: np.ndarray) -> None:
        actions, _ = actions_of(self.spec)
        if self.spec.action_mask and not (arms.allowed(actions) & np.asarray(self.spec.allowed(jnp.asarray(observed)))).any():
            raise SpecError(f"the action mask of the context allows no arm of {arms.present!s:.200}. Allow one of them.")

    def _takes_no_features(self) -> bool:
        """Whether observations are the action mask and nothing else."""
        return self.spec.action_mask and self.spec.observation_space.shape == (actions_of(self.spec)[0],)
