"""Requests to sessions, and their results, as plain records."""

import dataclasses
from typing import Any, NamedTuple

from quickstudy.serving.events import Event


class SessionName(NamedTuple):
    """A session, within its tenant."""

    tenant: str
    session: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Begins a session.

    `log`: events to begin with, as `export` gave them. `agent`: digest of the version of the agent; the current one if None.
    """

    name: SessionName
    log: tuple[Event, ...] = ()
    agent: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Asks for a decision. A `decision_id` of the client's own makes the request safe to repeat."""

    name: SessionName
    observation: Any
    decision_id: str | None = None
    new_episode: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """Says what followed a decision. `observation`: that followed; needed within an episode of several observations."""

    name: SessionName
    decision_id: str
    reward: Any
    reward_id: str = ""
    observation: Any = None
    terminated: bool = False
    truncated: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Ends, freezes or thaws a session: `end`, `freeze`, `thaw`."""

    name: SessionName
    to: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """Makes a session as it was after its first events; at least 1, because the first event opens it."""

    name: SessionName
    events: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Asks for the state of a session."""

    name: SessionName


Request = Open | Act | Reward | Change | Rollback | Look
