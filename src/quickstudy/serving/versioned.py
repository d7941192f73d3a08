"""The sessions of all versions of an agent, over one store."""

from collections.abc import Sequence
from typing import Any

from quickstudy.serving.requests import Open, Request, SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions
from quickstudy.serving.shadows import Shadowing
from quickstudy.serving.shelf import StoreShelf
from quickstudy.serving.stores.store import Store
from quickstudy.serving.versions import Versions


class VersionedSessions:
    """Does each request with the version of its session. One thread uses it, except for `prepare`.

    Args:
      versions: of the agent.
      shelf: over the store.
      store: that holds everything.
    """

    def __init__(self, versions: Versions, shelf: StoreShelf, store: Store):
        self._versions, self._shelf, self._store = versions, shelf, store
        self._of_versions: dict[str, Sessions] = {}

    def prepare(self, served: ServedAgent, shadow: ServedAgent | None) -> None:
        """Compiles a version and its shadow, and notes them in the store; any thread may do this.

        Raises:
          UsageError: the shadow does not fit the version.
          StoreError: the store cannot be written.
        """
        if shadow is not None:
            Shadowing(shadow, served, self._shelf)  # refuses one that does not fit
        for one in (served, shadow):
            if one is not None:
                one.programs.compile()
                self._store.add_agent(one.digest, one.described())

    def promote(self, served: ServedAgent, *, moves: str, shadow: ServedAgent | None) -> None:
        """Makes a version the current one. Everything so far must be stored."""
        self._versions.promote(served, moves=moves, shadow=shadow)
        self._of_versions.clear()
        if moves != "pin":
            for name in list(self._shelf.live):
                self._shelf.drop(name)  # it is moved when it is asked for

    def process(self, requests: Sequence[Request]) -> list[Any]:
        """The answers to requests, in their order. Those of one session go to one version."""
        versions: dict[SessionName, str] = {}
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            if request.name not in versions:
                versions[request.name] = self._version_of(request)
            groups.setdefault(versions[request.name], []).append(number)
        answers: dict[int, Any] = {}
        for digest, numbers in groups.items():
            found = self._sessions_of(digest).process([requests[number] for number in numbers])
            answers |= zip(numbers, found, strict=True)
        return [answers[number] for number in range(len(requests))]

    def _version_of(self, request: Request) -> str:
        begins = request.agent if isinstance(request, Open) else None
        return self._shelf.version_of(request.name) or begins or self._versions.current.digest

    def _sessions_of(self, digest: str) -> Sessions:
        """The sessions of a version; of the current one where it is not at hand."""
        served = self._versions.of(digest) or self._versions.current
        if served.digest not in self._of_versions:
            shadow = self._versions.shadow_of(served)
            self._of_versions[served.digest] = Sessions(served, shelf=self._shelf, opens=True, shadow=shadow)
        return self._of_versions[served.digest]
