"""The rules of an adaptation envelope, as records. `storage/envelope_file.py` reads them from a JSON file.

Every rule may be left out. An envelope without any rule changes no action.
"""

import dataclasses
from typing import Annotated, Any, Literal

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, Count, Range, Seed, checked_value
from quickstudy.protocol.settings import annotations_of

Numbers = float | tuple[float, ...]
"""One number for all numbers of an action, or one for each."""
Probability = Annotated[float, Range(above=0, most=1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActionLimits:
    """Limits of continuous actions, in action units. They hold for the agent and for its fallback.

    Args:
      low, high: bounds of each number; those of the action space where left out.
      largest_change: of each number from one action to the next, 0 or more. The first action of a lifetime is free.
    Raises:
      UsageError: another type, a number that is not finite, or a change below 0.
    """

    low: Numbers | None = None
    high: Numbers | None = None
    largest_change: Numbers | None = None

    def __post_init__(self) -> None:
        _check(self, "actions")
        change = self.largest_change
        if any(one < 0 for one in (change if isinstance(change, tuple) else (change or 0.0,))):
            raise UsageError(f"actions.largest_change must be 0 or more; came {change}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplorationLimits:
    """Limits of the agent's policy over Discrete actions. They do not hold for the fallback.

    Args:
      likeliest_at_least: probability of the likeliest action.
      each_at_least: probability of each allowed action, as off-policy evaluation needs it.
    Raises:
      UsageError: another type, or no probability.
    """

    likeliest_at_least: Annotated[float, FRACTION] = 0.0
    each_at_least: Annotated[float, FRACTION] = 0.0

    def __post_init__(self) -> None:
        _check(self, "exploration")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurpriseRule:
    """When a low p-value gives the decisions to the fallback, and when the agent gets them back.

    Args:
      p_value: of `extras["p_values"]` in the agent's decisions.
      enter_below: the fallback takes over after `enter_steps` steps in a row with a p-value below this.
      enter_steps: at least 1.
      leave_above: the agent returns after `leave_steps` steps in a row with a p-value above this; never if it is 1.
      leave_steps: at least 1.
      readout: file of a readout that computes the p-values, beside the envelope's own; None if the agent gives them itself.
      seed_of_training: of the agent that the readout was fitted to.
      monitor: name of a baseline that sees every step and computes the p-values in place of a readout.
    Raises:
      UsageError: a value that is not allowed, `leave_above` below `enter_below`, or both a readout and a monitor.
    """

    p_value: Literal["step", "last_steps", "task"] = "last_steps"
    enter_below: Probability = 0.001
    enter_steps: Count = 3
    leave_above: Probability = 0.05
    leave_steps: Count = 10
    readout: str | None = None
    seed_of_training: Seed = 0
    # Files without a monitor keep their digest.
    monitor: str | None = dataclasses.field(default=None, metadata={"left_out": True})

    def __post_init__(self) -> None:
        _check(self, "surprise")
        if self.monitor is not None and self.readout is not None:
            raise UsageError(
                f"surprise in the envelope names the readout {self.readout!r} and the monitor {self.monitor!r}. Leave one of "
                "them out: the p-values come from one place."
            )
        if self.leave_above < self.enter_below:
            raise UsageError(
                f"surprise.leave_above must be at least enter_below, {self.enter_below:g}; came {self.leave_above:g}. "
                "Otherwise one p-value could give the decisions to the fallback and back to the agent at once."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What the agent may spend in one lifetime.

    Args:
      explored_decisions: decisions of the agent with another action than its likeliest one. Afterwards it takes its likeliest
        action. For Discrete actions.
      cost: sum of −reward over all steps with a reward below 0, reward units. Afterwards the fallback acts.
    Raises:
      UsageError: a value that is not allowed.
    """

    explored_decisions: Annotated[int, NOT_NEGATIVE] | None = None
    cost: Annotated[float, NOT_NEGATIVE] | None = None

    def __post_init__(self) -> None:
        _check(self, "budget")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Envelope:
    """The rules of a deployed agent.

    Args:
      mode: `adapts`; `frozen`, where the agent acts with the memory of the start of its lifetime and learns nothing; or
        `fallback`, where only the fallback acts. The last two are kill switches.
      fallback: name of a baseline of the task distribution.
      actions, exploration, surprise, budget: the rules above; None for no such rule.
      holdback: share of lifetimes in which the fallback always acts. The key of a lifetime chooses.
      note: for people; changes nothing.
    Raises:
      UsageError: a value that is not allowed, or a rule that needs a fallback where none is named.
    """

    mode: Literal["adapts", "frozen", "fallback"] = "adapts"
    fallback: str | None = None
    actions: ActionLimits | None = None
    exploration: ExplorationLimits | None = None
    surprise: SurpriseRule | None = None
    budget: Budget | None = None
    holdback: Annotated[float, FRACTION] = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        _check(self, "")
        needed = {
            'mode "fallback"': self.mode == "fallback",
            "surprise": self.surprise is not None,
            "budget.cost": self.budget is not None and self.budget.cost is not None,
            "holdback": self.holdback > 0,
        }
        if self.fallback is None and any(needed.values()):
            named = ", ".join(name for name, used in needed.items() if used)
            raise UsageError(
                f'{named} gives decisions to a fallback, and the envelope names none. Add "fallback" with the name of a '
                "baseline; `quickstudy list DISTRIBUTION` prints them."
            )


def _check(rule: Any, where: str) -> None:
    """Raises UsageError for the first field whose type or range is wrong; records within it have checked themselves."""
    kinds = annotations_of(type(rule))
    for field in dataclasses.fields(rule):
        value = getattr(rule, field.name)
        if not dataclasses.is_dataclass(value):
            checked_value(f"{where}.{field.name}" if where else field.name, kinds[field.name], value)
