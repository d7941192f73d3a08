"""What a store is: the records that it holds, and the few things that a server asks of it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from quickstudy.protocol.errors import QuickstudyError
from quickstudy.serving.chain import Chain, ChainLink
from quickstudy.serving.requests import SessionName


class StoreError(QuickstudyError):
    """The store is full, down, or cannot be reached. What was to be written was not written."""


class StoredEvent(NamedTuple):
    """An event as it is stored, with its place in the chain: link `seq` of `shard`, commitment `place` within it."""

    name: SessionName
    number: int
    kind: str
    decision_id: str | None
    body: bytes
    salt: bytes = b""
    shard: str = ""
    seq: int = 0
    place: int = 0


class StoredSession(NamedTuple):
    """A session as it is stored.

    Args:
      name: of the session.
      agent: digest of its agent.
      version: counts its commits, from 1 on.
      state: record and memories, as `heads.encoded` gives them.
      since: how many first events its steps do not need; None where it has no steps, or `state` holds them.
      events: the events after those; empty where `since` is None.
    """

    name: SessionName
    agent: str
    version: int
    state: bytes
    since: int | None = None
    events: Sequence[StoredEvent] = ()


class StoredChange(NamedTuple):
    """What a commit does to one session. `expected`: the version that it replaces, 0 for a new session; `version`: its own."""

    name: SessionName
    agent: str
    expected: int
    version: int
    state: bytes
    at: float
    due: float | None
    events: Sequence[StoredEvent]
    since: int | None = None


class ListedSession(NamedTuple):
    """A session in a list. `opened`, `seen`: its first and its last commit, in seconds since 1970."""

    session: str
    agent: str
    opened: float
    seen: float


class Token(NamedTuple):
    """A token as it is stored: never itself, only its SHA-256."""

    token_id: str
    sha256: bytes
    tenant: str
    scopes: str


class Store(Protocol):
    """A store. Every method raises `StoreError` where the store is full, down or cannot be reached.

    `exclusive`: whether one server owns it, so that no other changes a session meanwhile.
    """

    exclusive: bool

    def load(self, names: Sequence[SessionName]) -> dict[SessionName, StoredSession]:
        """The sessions of these names, as far as there are such."""

    def events(self, name: SessionName, *, decision_id: str | None = None) -> list[StoredEvent]:
        """The events of a session, or those of one of its decisions, in their order."""

    def commit(self, changes: Sequence[StoredChange], chain: Chain, *, durable: bool) -> set[SessionName]:
        """Writes changes in one transaction, with one more link of the chain.

        A change whose session has another version than expected is left out, and the others are written.

        Args:
          changes: each session at most once.
          chain: of this server; it moves on only if the transaction succeeds.
          durable: wait until the disk has it.
        Returns:
          The names that were left out.
        """

    def delete(self, name: SessionName) -> bool:
        """Deletes a session with all that was said in it; the chain keeps its commitments. False if there is none."""

    def names(self, tenant: str, *, after: str = "", limit: int = 100) -> list[str]:
        """Names of a tenant's sessions in alphabetical order."""

    def listed(self, tenant: str, *, after: str = "", limit: int = 100, holding: str = "") -> list[ListedSession]:
        """A tenant's sessions in alphabetical order.

        Args:
          tenant: whose sessions.
          after: the name that the list goes on after.
          limit: sessions at most.
          holding: a text that their names hold.
        """

    def deciding(self, tenant: str, decision_id: str, *, limit: int = 100) -> list[str]:
        """Names of a tenant's sessions that have a decision of this id, in alphabetical order."""

    def counts(self) -> dict[str, int]:
        """How many sessions each tenant has."""

    def heads(self) -> dict[str, ChainLink]:
        """The last link of every shard."""

    def links(self, shard: str) -> list[ChainLink]:
        """All links of a shard in their order."""

    def shards(self) -> dict[str, dict[str, bytes]]:
        """Every shard, with the last link values of the others that it began from."""

    def add_shard(self, chain: Chain) -> None:
        """Begins a shard of the chain."""

    def agents(self) -> dict[str, str]:
        """What is known of the agents that were served, by digest: JSON text, as `ServedAgent.described` gives it."""

    def add_agent(self, digest: str, described: str) -> None:
        """Notes an agent that is served; nothing happens if it is known."""

    def all_events(self) -> list[StoredEvent]:
        """Every event of every session that was not deleted, by shard, link and place."""

    def tokens(self) -> list[Token]:
        """All tokens that are valid."""

    def add_token(self, token: Token) -> None:
        """Stores a token."""

    def remove_token(self, token_id: str) -> bool:
        """Removes a token; False if there is none of that id."""

    def probe(self) -> None:
        """Writes something that is not kept, to see whether it can be written."""

    def close(self) -> None:
        """Closes connections and gives up locks."""
