"""Why the guard of an envelope acted: numbers in decisions, words for people."""

from typing import Final

REASONS: Final = (
    "nothing",
    "limits",
    "explored decisions spent",
    "surprise",
    "cost spent",
    "action not finite",
    "holdback",
    "mode",
)
"""By the number in `extras["guard"]["reason"]`. Where several hold, the last of them is given."""
NOTHING, LIMITS, EXPLORED, SURPRISE, COST, NOT_FINITE, HOLDBACK, MODE = range(len(REASONS))


def guard_words(reason: int, *, fallback: bool) -> dict[str, str]:
    """The report of the guard in words: what acted, and why.

    Args:
      reason: a number of `REASONS`.
      fallback: whether the fallback acted.
    """
    return {"acted": "fallback" if fallback else "agent", "why": REASONS[reason]}
