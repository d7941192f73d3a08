"""Arms of which one pays most, beside one more arm whose payout tells which: the payouts, and exact returns of the best search.

Of m plain arms the *target* pays 5 and every other one 1.1. The *revealing arm* pays n / m, where n = 1, ..., m is the number
of the target. Nothing is random within a lifetime. So after k failures and with l pulls left, before anything is known,

    search(k, l) = 5 l / (m − k) + (1 − 1 / (m − k)) (1.1 + V(k + 1, l − 1))
    reveal(k, l) = (k + 1 + m) / (2 m) + 5 (l − 1)
    V(k, l) = max(search(k, l), reveal(k, l))        V(k, 0) = 0

where the plain arms are tried in the order of their numbers. No other order is better: it changes nothing but the payout of the
revealing arm, which is then that of the highest numbers left.
"""

import dataclasses
import functools

TARGET_PAYS = 5.0
"""Reward of the target."""
OTHERS_PAY = 1.1
"""Reward of every other plain arm."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevealingArm:
    """The problem of one lifetime: `arms` plain arms, at least 2, and `pulls`, at least 1."""

    arms: int
    pulls: int

    def _search_value(self, failures: int, pulls: int, *, may_reveal: bool) -> float:
        """Expected return of another plain arm now, and of the best policy after it, in reward units.

        Args:
          failures: plain arms that were tried and are not the target, fewer than `arms`.
          pulls: left, at least 1.
          may_reveal: the revealing arm may be pulled later.
        """
        candidates = self.arms - failures
        if candidates == 1:
            return TARGET_PAYS * pulls
        later = self._value(failures + 1, pulls - 1, may_reveal=may_reveal)
        return TARGET_PAYS * pulls / candidates + (1 - 1 / candidates) * (OTHERS_PAY + later)

    def _reveal_value(self, failures: int, pulls: int) -> float:
        """Expected return of the revealing arm now, and of the target after it, in reward units. Arguments as above."""
        return (failures + 1 + self.arms) / (2 * self.arms) + TARGET_PAYS * (pulls - 1)

    def reveals(self) -> tuple[bool, ...]:
        """Whether the best policy pulls the revealing arm after 0, 1, ... failures and nothing else; `[arms]`."""
        return tuple(self._reveals(failures, self.pulls - failures) for failures in range(self.arms))

    def optimum(self) -> float:
        """Expected return of a lifetime of the Bayes-optimal policy.

        Example:
          >>> round(RevealingArm(arms=10, pulls=5).optimum(), 3)
          20.55
        """
        return self._value(0, self.pulls, may_reveal=True)

    def best_without_revealing(self) -> float:
        """Expected return of a lifetime of the best policy that never pulls the revealing arm.

        Example:
          >>> round(RevealingArm(arms=10, pulls=5).best_without_revealing(), 3)
          11.35
        """
        return self._value(0, self.pulls, may_reveal=False)

    def _reveals(self, failures: int, pulls: int) -> bool:
        if pulls < 1:
            return False
        return self._reveal_value(failures, pulls) > self._search_value(failures, pulls, may_reveal=True)

    @functools.cache  # noqa: B019 - a frozen record of two numbers
    def _value(self, failures: int, pulls: int, *, may_reveal: bool) -> float:
        if pulls == 0:
            return 0.0
        search = self._search_value(failures, pulls, may_reveal=may_reveal)
        return max(search, self._reveal_value(failures, pulls)) if may_reveal else search
