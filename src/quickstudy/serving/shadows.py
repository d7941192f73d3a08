"""Shadows: an agent whose decisions are only logged, on the same observations and outcomes as the agent that acts.

The memory of a shadow is what the memory of the session would be if the session had moved to the shadow's version by replay. So
a shadow's decision is the one that this version would have made, had it been promoted with `replay`.
"""

from collections.abc import Sequence

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.live import LiveSession, Shelf
from quickstudy.serving.memory import Memories, Shadow, begun, caught_up
from quickstudy.serving.record import recorded
from quickstudy.serving.served_agent import ServedAgent, same_form


class Shadowing:
    """The memories of one shadow in all sessions of one agent.

    Args:
      served: the shadow.
      obeyed: the agent of the sessions.
      shelf: of the sessions.
    Raises:
      UsageError: the shadow has other spaces, or its decisions have another form.
    """

    def __init__(self, served: ServedAgent, obeyed: ServedAgent, shelf: Shelf):
        if not same_form(served.described(), obeyed.described()):
            raise UsageError(
                f"agent {served.digest[:12]} cannot shadow agent {obeyed.digest[:12]}: its spaces, its lengths or the form of "
                "its decisions differ. Let an agent of the same algorithm and spaces shadow it."
            )
        self.served, self._obeyed, self._shelf = served, obeyed, shelf

    def begin(self, sessions: Sequence[LiveSession]) -> None:
        """Gives the shadow the memories of the start of a lifetime."""
        keys = [self.served.key(session.record) for session in sessions]
        for session, memories in zip(sessions, begun(self.served.programs, keys), strict=True):
            session.shadow = Shadow(self.served.digest, memories)

    def memories(self, sessions: Sequence[LiveSession]) -> list[Memories]:
        """The shadow's memories, as old as those of the sessions; where there are none, its log is repeated."""
        return [self._of(session) for session in sessions]

    def _of(self, session: LiveSession) -> Memories:
        if session.shadow is None or session.shadow.agent != self.served.digest:
            served, obeyed = self.served, self._obeyed
            log = self._shelf.log(session)
            whole = recorded(log, obeyed.spec, cadence=obeyed.agent.cadence, policy=obeyed.policy)
            key = served.key(session.record)
            made = caught_up(served.programs, whole, session.record, session.memories, key)
            session.shadow = Shadow(served.digest, made)
        return session.shadow.memories
