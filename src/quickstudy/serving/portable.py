"""A session as JSON lines: what `export` gives and `import` takes."""

from collections.abc import Sequence

import msgspec

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.events import KINDS, Acted, Event, Lapsed, Opened, Renewed, Rewarded, RolledBack
from quickstudy.serving.record import Record
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.versions import Versions

_FORMAT = 1


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    agent: str
    session: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    event: msgspec.Raw


_decoders: dict[str, msgspec.json.Decoder[Event]] = {kind: msgspec.json.Decoder(cls) for kind, cls in KINDS.items()}


def to_lines(session: str, agent: str, log: Sequence[Event]) -> bytes:
    """A session's log as JSON lines: a header, and a line for each event.

    Args:
      session: its name.
      agent: digest of its agent.
      log: all its events.
    """
    encode = msgspec.json.encode
    lines = [encode(_Header(_FORMAT, agent, session))]
    lines += [encode(_Line(event.kind, msgspec.Raw(encode(event)))) for event in log]
    return b"\n".join(lines) + b"\n"


def from_lines(lines: bytes, versions: Versions) -> tuple[str, list[Event]]:
    """The digest of the version, and the log, from JSON lines.

    Raises:
      Refusal: they are not those of a session of one of these versions, or contradict themselves; names the line.
    """
    rows = [row for row in lines.splitlines() if row.strip()]
    try:
        header = msgspec.json.decode(rows[0] if rows else b"", type=_Header)
    except msgspec.MsgspecError as error:
        raise _wrong(1, str(error)) from None
    served = versions.of(header.agent)
    if header.format != _FORMAT or served is None:
        raise Refusal(
            "conflict",
            "this session was exported from another agent, or by another version.",
            field="agent",
            expected=f"format {_FORMAT}, agent {versions.current.digest[:12]}",
            got=f"format {header.format}, agent {header.agent[:12]}",
        )
    log: list[Event] = []
    for number, row in enumerate(rows[1:], 2):
        try:
            line = msgspec.json.decode(row, type=_Line)
            log.append(_decoders[line.kind].decode(line.event))
        except (msgspec.MsgspecError, UsageError, KeyError) as error:
            raise _wrong(number, str(error)) from None
    check_log(log, served)
    return header.agent, log


def check_log(log: Sequence[Event], served: ServedAgent) -> None:
    """Raises `Refusal` unless a log is one that sessions of this agent can have."""
    records = [served.record()]
    for number, event in enumerate(log):
        record = records[-1]
        if isinstance(event, Opened) != (number == 0):
            raise _wrong(number + 2, "a log begins with the event that opens the session, and has no other of its kind")
        if isinstance(event, RolledBack):
            if not 1 <= event.events <= number:
                raise _wrong(number + 2, "a rollback to an event that is not there")
            record = _again(log[: event.events], served)
        else:
            _check(event, record, served, number + 2)
            record.apply(event)
        records[-1] = record
    if not log:
        raise _wrong(2, "there are no events")


def _again(log: Sequence[Event], served: ServedAgent) -> Record:
    from quickstudy.serving.record import recorded

    return recorded(list(log), served.spec, cadence=served.agent.cadence, policy=served.policy)


def _check(event: Event, record: Record, served: ServedAgent, line: int) -> None:
    words = {"observation": served.programs.observation.size, "successor": served.programs.observation.size}
    words["decision"] = served.programs.decision.size
    for name, size in words.items():
        if len(getattr(event, name, b"\0" * 4 * size)) != 4 * size:
            raise _wrong(line, f"{name} has another size")
    if isinstance(event, Acted):
        starts = event.slot > record.next and event.slot % record.horizon == 0
        if event.slot != record.next and not (starts and event.slot - record.next < record.horizon):
            raise _wrong(line, "a slot out of order")
        if event.decision_id in record.by_id:
            raise _wrong(line, "a decision_id that was used before")
    if isinstance(event, Rewarded | Lapsed) and event.decision_id not in record.by_id:
        raise _wrong(line, "a decision that was not made before")
    if isinstance(event, Renewed) and record.policy.at_end != "new":
        raise _wrong(line, "a lifetime begins again, which this server does not allow (at_end)")


def _wrong(line: int, what: str) -> Refusal:
    return Refusal(
        "invalid", f"line {line} of the import is wrong: {what}.", field=f"line {line}", hint="Import what export gave."
    )
