"""The versions of an agent that one server has at hand.

New sessions begin with the current version. The rule for moves says whether a session of another version
moves to the current version or stays with its own.
"""

from collections.abc import Callable

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.served_agent import ServedAgent

MOVES = ("refuse", "pin", "replay", "restart")
"""What happens to a session of another version at its next request. `refuse`: its requests are refused. `pin`: it stays with
its version. `replay`: it goes on with the current version, whose memory is the replay of all that was recorded. `restart`: it
goes on with the current version, in a new lifetime with an empty memory."""


class Versions:
    """Versions by their digest.

    Args:
      served: the current version.
      moves: one of `MOVES`.
      shadow: a version that also decides, but whose decisions are only logged.
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
