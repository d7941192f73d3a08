"""The versions of an agent that one server has at hand.

New sessions begin with the current version. A session of another version is moved to the current one, or stays with its own, as
the rule for moves says.
"""

from collections.abc import Callable

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.served_agent import ServedAgent

MOVES = ("refuse", "pin", "replay", "restart")
"""What becomes of a session of another version when it is asked for. `refuse`: its requests are refused. `pin`: it stays with
its version. `replay`: it goes on with the current version, whose memory is the replay of all that was recorded. `restart`: it
goes on with the current version, in a new lifetime with an empty memory."""


class Versions:
    """Versions by their digest.

    Args:
      served: the current version.
      moves: one of `MOVES`.
      shadow: decides beside the current version, and is not obeyed.
      find: gives a version by its digest, ready to be served; None where there is none.
      named: digest of the version that is current by now, where servers learn of it one after another.
    Raises:
      UsageError: an unknown rule.
    """

    def __init__(
        self,
        served: ServedAgent,
        *,
        moves: str = "refuse",
        shadow: ServedAgent | None = None,
        find: Callable[[str], ServedAgent | None] = lambda digest: None,
        named: Callable[[], str | None] = lambda: None,
    ):
        self._held: dict[str, ServedAgent] = {}
        self._find, self._named = find, named
        self.promote(served, moves=moves, shadow=shadow)

    def promote(self, served: ServedAgent, *, moves: str, shadow: ServedAgent | None = None) -> None:
        """Makes a version the current one.

        Raises:
          UsageError: an unknown rule.
        """
        if moves not in MOVES:
            raise UsageError(f"moves must be one of {', '.join(MOVES)}; came {moves!r}.")
        self.current, self.moves, self.shadow = served, moves, shadow
        self._held[served.digest] = served

    def of(self, digest: str) -> ServedAgent | None:
        """The version with a digest; None where it is not at hand."""
        if digest not in self._held:
            found = self._find(digest)
            if found is None:
                return None
            self._held[digest] = found
        return self._held[digest]

    @property
    def held(self) -> int:
        """How many versions are in memory."""
        return len(self._held)

    def moves_on(self, digest: str) -> bool:
        """Whether a session of this version goes on with the current one.

        It does not where the version is the one that is current by now: then another server has moved the session already.
        """
        return self.moves in ("replay", "restart") and self._named() != digest

    def shadow_of(self, served: ServedAgent) -> ServedAgent | None:
        """What shadows a version: only the current one has a shadow, and none shadows itself."""
        shadow = self.shadow if served is self.current else None
        return None if shadow is None or shadow.digest == served.digest else shadow
