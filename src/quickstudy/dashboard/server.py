"""The process of a dashboard: its sources, the application, and uvicorn."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.protocol.setting_values import Range
from quickstudy.protocol.settings import check_settings
from quickstudy.serving.http.server import is_loopback, listening_on, stopped_by_signals, url_of

_STOP_SECONDS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class DashboardSettings:
    """What a dashboard shows, and where."""

    runs: str = "runs"
    """Folder with runs and their results."""
    store: str | None = None
    """Store of sessions to show: sqlite:PATH, or postgresql://USER@HOST/DATABASE. A server may use it meanwhile."""
    registry: str | None = None
    """Folder of a registry of agents to show."""
    server: str | None = None
    """Address of the server of that store, as http://127.0.0.1:8080. It makes changes; without it nothing can be changed."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs tokens in the store (quickstudy token add)."""
    port: Annotated[int, Range(least=0, most=65_535)] = 8090
    """Port to listen on; 0 takes a free one."""


def serve_dashboard(settings: DashboardSettings, *, listens: Callable[[str], None] = lambda url: None) -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP; returns the exit status.

    Args:
      settings: what is shown, and where.
      listens: called with the address of the dashboard as soon as it listens there.
    Raises:
      UsageError: settings that cannot be, an address that cannot be used, or a store that is not there.
      MissingExtraError: the extra `serve` is not installed.
      StoreError: the store cannot be read.
    """
    try:
        import jinja2  # noqa: F401
        import msgspec  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which the dashboard needs,", "serve") from error

    from quickstudy.dashboard.sources import Sources, dashboard
    from quickstudy.serving.http.tokens import Tokens
    from quickstudy.serving.registry import Registry
    from quickstudy.serving.stores import open_store

    check_settings(settings)
    _check(settings)
    with contextlib.ExitStack() as closing:
        listening = closing.enter_context(listening_on(settings.host, settings.port))
        store = None if settings.store is None else open_store(settings.store, serves=False, creates=False)
        if store is not None:
            closing.callback(store.close)
        if not is_loopback(listening) and (store is None or not Tokens(store).used):
            raise UsageError(
                f"host {settings.host!r} can be reached from other machines, and no token is set up. Make one first: "
                "quickstudy token add STORE TENANT --scopes read admin, and name the store with --store."
            )
        registry = None if settings.registry is None else Registry(settings.registry)
        sources = Sources(
            runs=Path(settings.runs), store=store, registry=registry, server=settings.server, loopback=is_loopback(listening)
        )
        config: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "warning", "server_header": False}
        server = uvicorn.Server(uvicorn.Config(dashboard(sources), timeout_graceful_shutdown=_STOP_SECONDS, **config))
        listens(url_of(listening))
        with stopped_by_signals(server):
            server.run(sockets=[listening])
    return 0


def _check(settings: DashboardSettings) -> None:
    if Path(settings.runs).exists() and not Path(settings.runs).is_dir():
        raise UsageError(f"runs must be a folder; {settings.runs!r} is a file. Name the folder that holds the runs.")
    if settings.server is None:
        return
    if settings.store is None:
        raise UsageError("--server names the server of a store. Name the store, too: --store sqlite:PATH.")
    parts = urlsplit(settings.server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"server must be an address such as http://127.0.0.1:8080; came {settings.server!r:.120}.")
