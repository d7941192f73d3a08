"""What a session does with rewards that come late, never or more than once, and at the end of its lifetime."""

import dataclasses
import math
from typing import Literal

from quickstudy.protocol.errors import UsageError

AGGREGATES = ("none", "first", "last", "sum", "mean", "max", "min")
ENDS = ("stop", "new", "continue")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """The rules of sessions with one agent.

    Args:
      window_seconds: how long a decision waits for its reward; None waits for ever.
      default_reward: the reward of a decision whose window ends without one; None leaves it unknown, and nothing is learned
        from that step.
      aggregate: how several rewards of one decision become one. `none` allows one reward. `first` and `last` go by arrival; the
        others do not depend on the order. Each reward then has a `reward_id`, so that a repeated message is not counted twice.
      at_end: what happens after the lifetime that the agent was made for. `stop` refuses decisions. `new` begins a new lifetime
        with an empty memory. `continue` goes on with its memory, although it was never trained or measured that far.
    Raises:
      UsageError: values that contradict one another or are not allowed.
    """

    window_seconds: float | None = None
    default_reward: float | None = None
    aggregate: Literal["none", "first", "last", "sum", "mean", "max", "min"] = "none"
    at_end: Literal["stop", "new", "continue"] = "stop"

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise UsageError(f"aggregate must be one of {', '.join(AGGREGATES)}; came {self.aggregate!r}.")
        if self.at_end not in ENDS:
            raise UsageError(f"at_end must be one of {', '.join(ENDS)}; came {self.at_end!r}.")
        window = self.window_seconds
        if window is not None and not (window > 0 and math.isfinite(window)):
            raise UsageError(f"window_seconds must be a positive number of seconds, or left out; came {window!r}.")
        if self.default_reward is not None and not math.isfinite(self.default_reward):
            raise UsageError(f"default_reward must be a finite number, or left out; came {self.default_reward!r}.")
        if window is None and (self.default_reward is not None or self.aggregate not in ("none", "first")):
            raise UsageError(
                "a default reward and an aggregate need window_seconds: without a window, a decision never ceases to wait."
            )

    @property
    def counts_many(self) -> bool:
        """Whether a decision may be rewarded again until its window ends."""
        return self.aggregate not in ("none", "first")

    def joined(self, values: list[float]) -> float:
        """One reward from those of a decision, in the order of arrival; at least one.

        `sum` and `mean` are correctly rounded (`math.fsum`), so they do not depend on the order.
        """
        if self.aggregate in ("sum", "mean"):
            return math.fsum(values) / (len(values) if self.aggregate == "mean" else 1)
        if self.aggregate in ("max", "min"):
            return max(values) if self.aggregate == "max" else min(values)
        return values[-1] if self.aggregate == "last" else values[0]
