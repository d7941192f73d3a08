"""The arms of a `Bandit`: their names, their places among the actions of an agent, and which of them may be chosen."""

import dataclasses
from collections.abc import Hashable, Iterable, Set

import numpy as np
from jaxtyping import Bool

from quickstudy.adapters.agents import actions_of, agent_with_actions
from quickstudy.adapters.columns import plain_name
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.bundle import Bundle

Arm = Hashable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arms:
    """Names by place. An arm that was removed keeps its place, since memory holds what it brought.

    Args:
      names: of all arms that ever were, at least one.
      removed: those that may not be chosen any more.
    """

    names: tuple[Arm, ...]
    removed: frozenset[Arm] = frozenset()

    @classmethod
    def of(cls, names: Iterable[Arm]) -> "Arms":
        """Arms by their names.

        Raises:
          UsageError: none, or one twice; no list of names, or one that cannot be a name.
        """
        if isinstance(names, str | bytes | Set) or not isinstance(names, Iterable):
            raise UsageError(f"arms must be a list of names, in an order; came {names!r:.80}. Give one name for each action.")
        given = tuple(plain_name("an arm", name) for name in names)
        if not given or len(set(given)) != len(given):
            raise UsageError(f"arms must be different names, at least one; came {list(given)!r:.200}.")
        return cls(names=given)

    @property
    def present(self) -> list[Arm]:
        """The arms that may be chosen."""
        return [name for name in self.names if name not in self.removed]

    def place(self, arm: Arm, *, row: int | None = None) -> int:
        """The place of an arm.

        Args:
          arm: its name.
          row: that names it, for the message.
        Raises:
          UnknownNameError: no such arm.
        """
        if arm not in self.names:
            raise self._unknown(arm, self.names, where="" if row is None else f"It stands in row {row}. ")
        return self.names.index(arm)

    def added(self, arm: Arm) -> "Arms":
        """These arms and one more, which may be one that was removed before.

        Raises:
          UsageError: it is there already.
        """
        arm = plain_name("an arm", arm)
        if arm in self.removed:
            return dataclasses.replace(self, removed=self.removed - {arm})
        if arm in self.names:
            raise UsageError(f"there is an arm {arm!r:.80} already.")
        return dataclasses.replace(self, names=(*self.names, arm))

    def without(self, arm: Arm) -> "Arms":
        """These arms but one.

        Raises:
          UnknownNameError: no such arm.
          UsageError: it is the last one.
        """
        arm = plain_name("an arm", arm)
        if arm in self.removed or arm not in self.names:
            raise self._unknown(arm, self.present)
        if len(self.present) == 1:
            raise UsageError(f"{arm!r:.80} is the last arm, so it cannot be removed. Add another one first.")
        return dataclasses.replace(self, removed=self.removed | {arm})

    def allowed(self, actions: int) -> Bool[np.ndarray, " actions"]:
        """Which actions of an agent may be chosen; those without an arm may not."""
        return np.asarray([place < len(self.names) and self.names[place] not in self.removed for place in range(actions)])

    def _unknown(self, arm: Arm, known: Iterable[Arm], *, where: str = "") -> UnknownNameError:
        alike = [name for name in known if str(name) == str(arm)]
        hint = f"It is of type {type(arm).__name__}, and the arm is of type {type(alike[0]).__name__}." if alike else ""
        return UnknownNameError("arm", str(arm), [str(name) for name in known], hint=(where + hint).strip() or None)


def agent_for_arms(source: Bundle | Agent, arms: Arms, *, steps: int | None) -> Agent:
    """The agent that chooses among these arms.

    An agent of tasks with an action mask serves as many arms as it has actions, and fewer. An agent whose network scores all
    actions alike is made for exactly these arms. Any other agent serves one number of arms.

    Args:
      source: of the agent.
      arms: removed ones count.
      steps: of a lifetime; as in training if None.
    Raises:
      SpecError: the agent does not serve as many arms, or lifetimes of this length.
    """
    agent = source.agent if isinstance(source, Bundle) else source
    actions = len(arms.names)
    if agent.spec.action_mask:
        actions = max(actions, actions_of(agent.spec)[0])
    return agent_with_actions(source, actions=actions, steps=steps)
