"""What happens in a session, as records of plain values: the log of a session is the list of them, and defines the session.

Words of observations and decisions are bytes, as `WordLayout` lays them out.
"""

import dataclasses
from typing import ClassVar

from quickstudy.serving.policy import SessionPolicy


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A session begins, with a policy of its own. `stream` names its randomness; a fork keeps that of its original."""

    kind: ClassVar[str] = "opened"
    at: float
    stream: str
    policy: SessionPolicy


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Acted:
    """A decision. `due`: when its window ends, in seconds since 1970; None if it never does."""

    kind: ClassVar[str] = "acted"
    at: float
    slot: int
    decision_id: str
    observation: bytes
    decision: bytes
    due: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shadowed:
    """What another version would have decided in place of a decision; it was not obeyed. `agent`: digest of that version."""

    kind: ClassVar[str] = "shadowed"
    at: float
    decision_id: str
    agent: str
    decision: bytes


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rewarded:
    """The outcome of a decision, or one of its rewards. `successor`: the observation that followed, as words."""

    kind: ClassVar[str] = "rewarded"
    at: float
    decision_id: str
    reward: float
    reward_id: str
    successor: bytes
    terminated: bool
    truncated: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lapsed:
    """The window of a decision has ended. `reward`: the default reward where it had none; None leaves it unknown."""

    kind: ClassVar[str] = "lapsed"
    at: float
    decision_id: str
    reward: float | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """A new lifetime begins in the same session."""

    kind: ClassVar[str] = "renewed"
    at: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    """From here on, the session acts and does not adapt."""

    kind: ClassVar[str] = "frozen"
    at: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Thawed:
    """The session adapts again."""

    kind: ClassVar[str] = "thawed"
    at: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """The session goes on with another version of the agent. `restarts`: in a new lifetime, with an empty memory."""

    kind: ClassVar[str] = "moved"
    at: float
    agent: str
    restarts: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack:
    """The session is again as it was after its first `events` events; what followed them does not count."""

    kind: ClassVar[str] = "rolled_back"
    at: float
    events: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The session is over: no decisions, and no more rewards."""

    kind: ClassVar[str] = "ended"
    at: float


Event = Opened | Acted | Shadowed | Rewarded | Lapsed | Renewed | Frozen | Thawed | Moved | RolledBack | Ended
KINDS: dict[str, type[Event]] = {
    kind.kind: kind for kind in (Opened, Acted, Shadowed, Rewarded, Lapsed, Renewed, Frozen, Thawed, Moved, RolledBack, Ended)
}
