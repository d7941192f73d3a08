"""Sessions in PostgreSQL: any number of servers, none of which owns a session.

Servers do not lock sessions between requests. A commit compares the version of each session and swaps it, so of two servers
that changed one session, one is told to do its work again. There are no session-level locks, so a pooler such as PgBouncer
may stand between. A lost connection is opened again by the next call.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import psycopg

from quickstudy.protocol.printable import printable
from quickstudy.serving.chain import Chain, ChainLink, others_of, others_text, payload_of
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.migrations import migrations
from quickstudy.serving.stores.store import ListedSession, StoredChange, StoredEvent, StoredSession, StoreError, Token

_STATEMENT_MILLISECONDS = 10_000
_LOCK_MILLISECONDS = 3_000
"""A server that stands still within a transaction gives its rows up after this time."""
_MIGRATION_LOCK = 0x71735F6D  # "qs_m"
_EVENT_COLUMNS = "tenant, session, number, kind, decision_id, body, salt, shard, seq, place"
_CHANGES = """unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bytea[], %s::bigint[], %s::float8[], %s::float8[])
              as n (tenant, session, agent, version, state, since, at, due)"""
_NAMES = "unnest(%s::text[], %s::text[])"


class PostgresStore:
    """A store in a database of PostgreSQL 15 or later; see `Store`.

    Args:
      url: of the database.
    Raises:
      StoreError: it cannot be reached.
    """

    exclusive = False

    def __init__(self, url: str):
        self._url = url
        self._locks = {"read": threading.Lock(), "write": threading.Lock()}
        self._connections: dict[str, psycopg.Connection] = {}
        with self._transaction() as cursor:
            self._migrate(cursor)

    def load(self, names: Sequence[SessionName]) -> dict[SessionName, StoredSession]:
        """See `Store`."""
        query = f"""select tenant, session, agent, version, state, since from session
                    where (tenant, session) in (select * from {_NAMES})"""
        rows = self._rows(query, _columns(names, 2))
        wanted = [(row[0], row[1], row[5]) for row in rows if row[5] is not None]
        after: dict[SessionName, list[StoredEvent]] = {SessionName(row[0], row[1]): [] for row in rows}
        if wanted:
            more = f"""select {", ".join(f"e.{column}" for column in _EVENT_COLUMNS.split(", "))} from event e
                       join unnest(%s::text[], %s::text[], %s::bigint[]) as n (tenant, session, since)
                       on e.tenant = n.tenant and e.session = n.session and e.number > n.since order by e.number"""
            for event in map(_event, self._rows(more, _columns(wanted, 3))):
                after[event.name].append(event)
        found = [StoredSession(SessionName(row[0], row[1]), *row[2:]) for row in rows]
        return {one.name: one._replace(events=after[one.name]) for one in found}

    def events(self, name: SessionName, *, decision_id: str | None = None) -> list[StoredEvent]:
        """See `Store`."""
        more, values = ("", tuple(name)) if decision_id is None else (" and decision_id = %s", (*name, decision_id))
        where = f"where tenant = %s and session = %s{more} order by number"
        return [_event(row) for row in self._rows(f"select {_EVENT_COLUMNS} from event {where}", values)]

    def commit(self, changes: Sequence[StoredChange], chain: Chain, *, durable: bool) -> set[SessionName]:
        """See `Store`."""
        ordered = sorted(changes, key=lambda change: change.name)  # all servers insert in one order
        with self._transaction(durable=durable) as cursor:
            written_names = self._swapped(cursor, ordered)
            written = [change for change in ordered if change.name in written_names]
            events = [event for change in written for event in change.events]
            salts, link = chain.next([payload_of(*e.name, e.number, e.kind, e.body) for e in events])
            rows = [
                (*e.name, e.number, e.kind, e.decision_id, e.body, salt, link.shard, link.seq, place)
                for place, (e, salt) in enumerate(zip(events, salts, strict=True))
            ]
            kinds = ("text", "text", "bigint", "text", "text", "bytea", "bytea", "text", "bigint", "bigint")
            arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
            cursor.execute(f"insert into event ({_EVENT_COLUMNS}) select * from unnest({arrays})", _columns(rows, 10))
            cursor.execute("insert into link values (%s, %s, %s, %s)", (link.shard, link.seq, link.commitments, link.value))
        chain.advance(link)
        return {change.name for change in changes} - written_names

    def delete(self, name: SessionName) -> bool:
        """See `Store`."""
        with self._transaction() as cursor:
            return cursor.execute("delete from session where tenant = %s and session = %s", tuple(name)).rowcount > 0

    def names(self, tenant: str, *, after: str = "", limit: int = 100) -> list[str]:
        """See `Store`."""
        query = "select session from session where tenant = %s and session > %s order by session limit %s"
        return [row[0] for row in self._rows(query, (tenant, after, limit))]

    def listed(self, tenant: str, *, after: str = "", limit: int = 100, holding: str = "") -> list[ListedSession]:
        """See `Store`."""
        query = """select session, agent, opened, seen from session
                   where tenant = %s and session > %s and strpos(session, %s) > 0 order by session limit %s"""
        return [ListedSession(*row) for row in self._rows(query, (tenant, after, holding, limit))]

    def deciding(self, tenant: str, decision_id: str, *, limit: int = 100) -> list[str]:
        """See `Store`."""
        query = """select session from session s where tenant = %s and exists
                   (select 1 from event e where e.tenant = s.tenant and e.session = s.session and e.decision_id = %s)
                   order by session limit %s"""
        return [row[0] for row in self._rows(query, (tenant, decision_id, limit))]

    def counts(self) -> dict[str, int]:
        """See `Store`."""
        return dict(self._rows("select tenant, count(*) from session group by tenant"))

    def heads(self) -> dict[str, ChainLink]:
        """See `Store`."""
        last = "select distinct on (shard) shard, seq, commitments, value from link order by shard, seq desc"
        return {row[0]: ChainLink(*row) for row in self._rows(last)}

    def links(self, shard: str) -> list[ChainLink]:
        """See `Store`."""
        query = "select shard, seq, commitments, value from link where shard = %s order by seq"
        return [ChainLink(*row) for row in self._rows(query, (shard,))]

    def shards(self) -> dict[str, dict[str, bytes]]:
        """See `Store`."""
        return {row[0]: others_of(row[1]) for row in self._rows("select shard, others from shard")}

    def add_shard(self, chain: Chain) -> None:
        """See `Store`."""
        with self._transaction() as cursor:
            cursor.execute("insert into shard values (%s, %s)", (chain.shard, others_text(chain.others)))

    def agents(self) -> dict[str, str]:
        """See `Store`."""
        return dict(self._rows("select digest, described from agent"))

    def add_agent(self, digest: str, described: str) -> None:
        """See `Store`."""
        with self._transaction() as cursor:
            cursor.execute("insert into agent values (%s, %s) on conflict do nothing", (digest, described))

    def all_events(self) -> list[StoredEvent]:
        """See `Store`."""
        return [_event(row) for row in self._rows(f"select {_EVENT_COLUMNS} from event order by shard, seq, place")]

    def tokens(self) -> list[Token]:
        """See `Store`."""
        return [Token(*row) for row in self._rows("select token_id, sha256, tenant, scopes from token")]

    def add_token(self, token: Token) -> None:
        """See `Store`."""
        with self._transaction() as cursor:
            cursor.execute("insert into token (token_id, sha256, tenant, scopes) values (%s, %s, %s, %s)", tuple(token))

    def remove_token(self, token_id: str) -> bool:
        """See `Store`."""
        with self._transaction() as cursor:
            return cursor.execute("delete from token where token_id = %s", (token_id,)).rowcount > 0

    def probe(self) -> None:
        """See `Store`."""
        with self._transaction() as cursor:
            cursor.execute("insert into probe values (0)")
            cursor.execute("delete from probe")

    def close(self) -> None:
        """See `Store`."""
        for use, lock in self._locks.items():
            with lock:
                self._drop(use)

    def _swapped(self, cursor: psycopg.Cursor, changes: list[StoredChange]) -> set[SessionName]:
        """Swaps the rows that have the version that is expected, and inserts the new ones; returns the names of both.

        A row that another server is changing just now counts as changed, so no server waits for another.
        """
        old, new = [change for change in changes if change.expected], [change for change in changes if not change.expected]
        written: set[SessionName] = set()
        if old:
            lock = f"""select tenant, session, version from session where (tenant, session) in (select * from {_NAMES})
                       for update skip locked"""
            found = cursor.execute(lock, _columns([change.name for change in old], 2)).fetchall()
            versions = {SessionName(row[0], row[1]): row[2] for row in found}
            swapped = [change for change in old if versions.get(change.name) == change.expected]
            rows = [(*c.name, c.agent, c.version, c.state, c.since, c.at, c.due) for c in swapped]
            update = f"""update session s set agent = n.agent, version = n.version, state = n.state, since = n.since,
                          seen = n.at, due = n.due
                        from {_CHANGES}
                        where s.tenant = n.tenant and s.session = n.session"""
            cursor.execute(update, _columns(rows, 8))
            written |= {change.name for change in swapped}
        if new:
            insert = f"""insert into session (tenant, session, agent, version, state, since, opened, seen, due)
                        select tenant, session, agent, version, state, since, at, at, due from {_CHANGES}
                        on conflict do nothing returning tenant, session"""
            rows = [(*c.name, c.agent, c.version, c.state, c.since, c.at, c.due) for c in new]
            written |= {SessionName(*row) for row in cursor.execute(insert, _columns(rows, 8)).fetchall()}
        return written

    def _migrate(self, cursor: psycopg.Cursor) -> None:
        """Under a lock that ends with the transaction, so that servers which start together wait for one another."""
        cursor.execute("select pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        cursor.execute("create table if not exists meta (format bigint not null)")
        row = cursor.execute("select max(format) from meta").fetchone()
        for number, statements in migrations("postgres", applied=(row and row[0]) or 0):
            for statement in statements:
                cursor.execute(statement.encode())
            cursor.execute("insert into meta values (%s)", (number,))

    def _rows(self, query: str, values: Sequence = ()) -> list[tuple]:
        with self._cursor("read") as cursor:
            return cursor.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[psycopg.Cursor]:
        """Settings hold for the transaction only: a pooler gives the connection to somebody else afterwards."""
        waits = "on" if durable else "off"
        with self._cursor("write") as cursor, cursor.connection.transaction():
            cursor.execute(
                f"set local statement_timeout = {_STATEMENT_MILLISECONDS}; set local lock_timeout = {_LOCK_MILLISECONDS}; "
                f"set local idle_in_transaction_session_timeout = {_LOCK_MILLISECONDS}; "
                f"set local synchronous_commit = {waits}",
                binary=False,
            )
            yield cursor

    @contextlib.contextmanager
    def _cursor(self, use: str) -> Iterator[psycopg.Cursor]:
        with self._locks[use]:
            try:
                if use not in self._connections:
                    # No prepared statements: a pooler may give each transaction another connection.
                    self._connections[use] = psycopg.connect(
                        self._url, autocommit=True, connect_timeout=5, prepare_threshold=None
                    )
                with self._connections[use].cursor(binary=True) as cursor:
                    yield cursor
            except psycopg.Error as error:
                self._drop(use)
                said = str(error).splitlines()[0] if str(error) else repr(error)
                raise StoreError(f"PostgreSQL cannot be used: {printable(said)}") from error

    def _drop(self, use: str) -> None:
        connection = self._connections.pop(use, None)
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


def _columns(rows: Sequence[Sequence], count: int) -> tuple[list, ...]:
    """Rows as one list for each of their columns."""
    return tuple([row[place] for row in rows] for place in range(count))


def _event(row: tuple) -> StoredEvent:
    tenant, session, number, kind, decision_id, body, salt, *place = row
    return StoredEvent(SessionName(tenant, session), number, kind, decision_id, bytes(body), bytes(salt), *place)
