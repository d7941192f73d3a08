"""Where sessions are stored: SQLite on one machine, PostgreSQL for several servers, behind one interface."""

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.serving.stores.store import Store


def open_store(url: str, *, serves: bool = True, creates: bool = True) -> Store:
    """The store at an address, with its tables up to date.

    Args:
      url: `sqlite:PATH`, or `postgresql://USER@HOST/DATABASE` and everything else that PostgreSQL understands.
      serves: whether a server opens it. One server owns an SQLite store; other programs may read it meanwhile.
      creates: whether an SQLite store is made where there is none.
    Raises:
      UsageError: an address of another kind, a store that another server owns, or one that is not there and is not made.
      MissingExtraError: PostgreSQL without the extra `serve`.
      StoreError: the store cannot be reached or written.
    """
    if url.startswith("sqlite:"):
        from quickstudy.serving.stores.sqlite import SqliteStore

        return SqliteStore(url.removeprefix("sqlite:").removeprefix("//"), serves=serves, creates=creates)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from quickstudy.serving.stores.postgres import PostgresStore
        except ImportError as error:
            raise MissingExtraError("psycopg, for sessions in PostgreSQL,", "serve") from error
        return PostgresStore(url)
    raise UsageError(f"a store is sqlite:PATH or postgresql://HOST/DATABASE; came {url!r}.")
