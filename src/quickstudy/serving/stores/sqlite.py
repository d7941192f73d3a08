"""Sessions in an SQLite file: one server, on one machine, without anything to install.

Every connection writes ahead (WAL) and waits for the disk (`synchronous=FULL`); both settings but the first belong to the
connection, not to the file. One connection writes and another one reads, so that reading does not wait for the disk.
"""

import contextlib
import fcntl
import functools
import itertools
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import printable
from quickstudy.serving.chain import Chain, ChainLink, others_of, others_text, payload_of
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.migrations import migrations
from quickstudy.serving.stores.store import ListedSession, StoredChange, StoredEvent, StoredSession, StoreError, Token

_BUSY_SECONDS = 10.0
_CHECKPOINT = "wal_autocheckpoint=4000"  # pages: those that change again and again are copied less often
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "glusterfs", "ceph"}
_EVENTS = """select tenant, session, number, kind, decision_id, body, salt, shard, seq, place
             from event join session on session.id = of_session"""
_EXPECTED = """select count(*) from (values {rows}) as n
               left join session as s on s.tenant = n.column1 and s.session = n.column2
               where coalesce(s.version, 0) = n.column3"""
# Without `or rollback`, SQLite copies every page before a statement of several rows changes it.
_SWAP = """insert or rollback into session (tenant, session, agent, version, state, since, opened, seen, due) values {rows}
           on conflict (tenant, session) do update set agent = excluded.agent, version = excluded.version,
             state = excluded.state, since = excluded.since, seen = excluded.seen, due = excluded.due"""
_ADD = """insert or rollback into event (of_session, number, kind, decision_id, body, salt, shard, seq, place)
          values {rows}"""
_EVENT_ROW = "((select id from session where tenant = ? and session = ?), ?, ?, ?, ?, ?, ?, ?, ?)"
_MOST_ROWS = 128


class SqliteStore:
    """A store in a file; see `Store`.

    Args:
      path: of the file.
      serves: whether it is a server that opens it; a second server is refused.
      creates: whether the file is made where there is none.
    Raises:
      UsageError: another server owns it, it lies on a network file system, where SQLite's locks cannot be trusted, or it is not
        a file.
      StoreError: the file cannot be opened or written.
    """

    exclusive = True

    def __init__(self, path: str | Path, *, serves: bool = True, creates: bool = True):
        self._path = Path(path).absolute()  # SQLite takes some relative names for something else, such as ":memory:"
        self._refuse_unfit(creates=creates)
        self._refuse_network()
        self._lock = self._owned() if serves else None
        self._writing, self._reading = threading.Lock(), threading.Lock()
        try:
            self._writer, self._reader = self._connect(), self._connect()
            with self._transaction() as writer:
                self._migrate(writer)
        except BaseException:
            self._give_up_lock()
            raise

    def load(self, names: Sequence[SessionName]) -> dict[SessionName, StoredSession]:
        """See `Store`."""
        query, found = "select agent, version, state, since from session where tenant = ? and session = ?", {}
        with self._read() as reader:
            for name in names:
                row = reader.execute(query, name).fetchone()
                if row is not None:
                    after = [] if row[3] is None else self._events_of(reader, name, " and number > ?", row[3])
                    found[name] = StoredSession(name, row[0], row[1], row[2], row[3], after)
        return found

    def events(self, name: SessionName, *, decision_id: str | None = None) -> list[StoredEvent]:
        """See `Store`."""
        with self._read() as reader:
            if decision_id is None:
                return self._events_of(reader, name, "")
            return self._events_of(reader, name, " and decision_id = ?", decision_id)

    def _events_of(self, reader: sqlite3.Connection, name: SessionName, more: str, *values: Any) -> list[StoredEvent]:
        where = f"where tenant = ? and session = ?{more} order by number"
        return [_event(row) for row in reader.execute(f"{_EVENTS} {where}", (*name, *values))]

    def commit(self, changes: Sequence[StoredChange], chain: Chain, *, durable: bool) -> set[SessionName]:
        """See `Store`; it always waits for the disk."""
        del durable
        with self._transaction() as writer:
            written = self._as_expected(writer, changes)
            rows = [(*c.name, c.agent, c.version, c.state, c.since, c.at, c.at, c.due) for c in written]
            _all(writer, _SWAP, "(?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            events = [event for change in written for event in change.events]
            salts, link = chain.next([payload_of(*e.name, e.number, e.kind, e.body) for e in events])
            places = zip(events, salts, range(len(events)), strict=True)
            added = [(*e[0], e[1], e[2], e[3], e[4], salt, link.shard, link.seq, place) for e, salt, place in places]
            _all(writer, _ADD, _EVENT_ROW, added)
            writer.execute("insert into link values (?, ?, ?, ?)", (link.shard, link.seq, link.commitments, link.value))
        chain.advance(link)
        return {change.name for change in changes} - {change.name for change in written}

    def _as_expected(self, writer: sqlite3.Connection, changes: Sequence[StoredChange]) -> Sequence[StoredChange]:
        """The changes whose sessions have the version that they expect; nearly always all of them."""
        rows = [(*change.name, change.expected) for change in changes]
        if sum(row[0] for row in _all(writer, _EXPECTED, "(?, ?, ?)", rows)) == len(rows):
            return changes
        one = _EXPECTED.format(rows="(?, ?, ?)")
        return [change for change, row in zip(changes, rows, strict=True) if writer.execute(one, row).fetchone()[0]]

    def delete(self, name: SessionName) -> bool:
        """See `Store`."""
        one = "session where tenant = ? and session = ?"
        with self._transaction() as writer:
            writer.execute(f"delete from event where of_session = (select id from {one})", name)
            return writer.execute(f"delete from {one}", name).rowcount > 0

    def names(self, tenant: str, *, after: str = "", limit: int = 100) -> list[str]:
        """See `Store`."""
        query = "select session from session where tenant = ? and session > ? order by session limit ?"
        with self._read() as reader:
            return [row[0] for row in reader.execute(query, (tenant, after, limit))]

    def listed(self, tenant: str, *, after: str = "", limit: int = 100, holding: str = "") -> list[ListedSession]:
        """See `Store`."""
        query = """select session, agent, opened, seen from session
                   where tenant = ? and session > ? and instr(session, ?) order by session limit ?"""
        with self._read() as reader:
            return [ListedSession(*row) for row in reader.execute(query, (tenant, after, holding, limit))]

    def deciding(self, tenant: str, decision_id: str, *, limit: int = 100) -> list[str]:
        """See `Store`."""
        query = """select session from session where tenant = ? and exists
                   (select 1 from event where of_session = session.id and decision_id = ?) order by session limit ?"""
        with self._read() as reader:
            return [row[0] for row in reader.execute(query, (tenant, decision_id, limit))]

    def counts(self) -> dict[str, int]:
        """See `Store`."""
        with self._read() as reader:
            return dict(reader.execute("select tenant, count(*) from session group by tenant").fetchall())

    def heads(self) -> dict[str, ChainLink]:
        """See `Store`."""
        last = """select shard, seq, commitments, value from link
                  where (shard, seq) in (select shard, max(seq) from link group by shard)"""
        with self._read() as reader:
            return {row[0]: ChainLink(*row) for row in reader.execute(last)}

    def links(self, shard: str) -> list[ChainLink]:
        """See `Store`."""
        query = "select shard, seq, commitments, value from link where shard = ? order by seq"
        with self._read() as reader:
            return [ChainLink(*row) for row in reader.execute(query, (shard,))]

    def shards(self) -> dict[str, dict[str, bytes]]:
        """See `Store`."""
        with self._read() as reader:
            return {row[0]: others_of(row[1]) for row in reader.execute("select shard, others from shard")}

    def add_shard(self, chain: Chain) -> None:
        """See `Store`."""
        with self._transaction() as writer:
            writer.execute("insert into shard values (?, ?)", (chain.shard, others_text(chain.others)))

    def agents(self) -> dict[str, str]:
        """See `Store`."""
        with self._read() as reader:
            return dict(reader.execute("select digest, described from agent").fetchall())

    def add_agent(self, digest: str, described: str) -> None:
        """See `Store`."""
        with self._transaction() as writer:
            writer.execute("insert into agent values (?, ?) on conflict do nothing", (digest, described))

    def all_events(self) -> list[StoredEvent]:
        """See `Store`."""
        with self._read() as reader:
            return [_event(row) for row in reader.execute(f"{_EVENTS} order by shard, seq, place")]

    def tokens(self) -> list[Token]:
        """See `Store`."""
        with self._read() as reader:
            return [Token(*row) for row in reader.execute("select token_id, sha256, tenant, scopes from token")]

    def add_token(self, token: Token) -> None:
        """See `Store`."""
        with self._transaction() as writer:
            writer.execute("insert into token (token_id, sha256, tenant, scopes) values (?, ?, ?, ?)", token)

    def remove_token(self, token_id: str) -> bool:
        """See `Store`."""
        with self._transaction() as writer:
            return writer.execute("delete from token where token_id = ?", (token_id,)).rowcount > 0

    def probe(self) -> None:
        """See `Store`."""
        with self._transaction() as writer:
            writer.execute("insert into probe values (0)")
            writer.execute("delete from probe")

    def close(self) -> None:
        """See `Store`."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()
        self._give_up_lock()

    def _connect(self) -> sqlite3.Connection:
        with _told(self._path):
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", _CHECKPOINT):
                connection.execute(f"pragma {setting}")
            return connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, _told(self._path):
            self._writer.execute("begin immediate")
            try:
                yield self._writer
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                raise

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._reading, _told(self._path):
            yield self._reader

    def _migrate(self, writer: sqlite3.Connection) -> None:
        """Under the lock of the transaction; `user_version` is a part of it."""
        applied = writer.execute("pragma user_version").fetchone()[0]
        for number, statements in migrations("sqlite", applied=applied):
            for statement in statements:
                writer.execute(statement)
            writer.execute(f"pragma user_version = {number}")

    def _owned(self) -> TextIO:
        path = self._path.with_name(f"{self._path.name}.lock")
        with _told(self._path):
            lock = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise UsageError(
                f"{self._path} is served by another process already. Stop that one, or use PostgreSQL for several servers."
            ) from None
        return lock

    def _give_up_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _refuse_unfit(self, *, creates: bool) -> None:
        with _told(self._path):
            there = self._path.exists()
            if there and not self._path.is_file():
                raise UsageError(f"a store must be a file, and {self._path} is none.")
        if not there and not creates:
            raise UsageError(f"there is no store {self._path}.")

    def _refuse_network(self) -> None:
        folder = self._path.parent
        kind = _file_system(folder)
        if kind in _NETWORK_FILE_SYSTEMS:
            raise UsageError(
                f"{folder} is on a network file system ({kind}), where SQLite can lose data. Use a local disk, or PostgreSQL."
            )


def _event(row: tuple) -> StoredEvent:
    return StoredEvent(SessionName(row[0], row[1]), *row[2:])


def _all(writer: sqlite3.Connection, statement: str, row: str, rows: Sequence[tuple]) -> list[tuple]:
    """Runs a statement on rows, many at a time; returns what it answers.

    Python gives its lock away and takes it again for each statement, which costs more than the statement where other threads
    are busy. The numbers of rows are powers of two, so there are few statements to prepare.
    """
    answers, start = [], 0
    while start < len(rows):
        count = min(_MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        values = list(itertools.chain.from_iterable(rows[start : start + count]))
        answers += writer.execute(_of_rows(statement, row, count), values).fetchall()
        start += count
    return answers


@functools.cache
def _of_rows(statement: str, row: str, count: int) -> str:
    return statement.format(rows=", ".join([row] * count))


def _file_system(folder: Path) -> str | None:
    """The kind of file system that holds a folder; None where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return None
    holding = [(mount[1], mount[2]) for mount in mounts if folder.is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else None


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors and those of the system, as `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store {printable(path)} cannot be used: {error}.") from error
    except OSError as error:
        raise StoreError(f"the store {printable(path)} cannot be opened: {error.strerror}.") from error
