"""A server process: a bundle, a store, an application, and uvicorn."""

import contextlib
import dataclasses
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.protocol.setting_values import POSITIVE, Count, Range
from quickstudy.protocol.settings import check_settings
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.storage.bundle import Bundle, load_bundle

_DRAIN_SECONDS = 30
_TURN_SECONDS = 0.0005


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server serves."""

    store: str = "sqlite:sessions.db"
    """Where sessions are stored: sqlite:PATH, or postgresql://USER@HOST/DATABASE."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs tokens (quickstudy token add)."""
    port: Annotated[int, Range(least=0, most=65_535)] = 8080
    """Port to listen on; 0 takes a free one."""
    durability: Literal["fast", "strict"] = "fast"
    """fast: answer a decision before the disk has it, if this server owns its store; strict: after."""
    rate: Annotated[float, POSITIVE] | None = None
    """Requests per second that a tenant may send; no limit if not given."""
    most_sessions: Count | None = None
    """Sessions that a tenant may have; no limit if not given."""
    moves: Literal["refuse", "replay", "restart"] = "refuse"
    """Sessions of another version of the agent: refuse them, replay their record with this version, or restart them."""
    most_live: Count = 100_000
    """Sessions that are kept in memory; others are read from the store when they are asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guard:
    """The envelope of a served agent.

    Args:
      guarded: the guarded agent of a bundle.
      envelope: digest and rules as plain data, as `StoredEnvelope.describe` gives them.
    """

    guarded: Callable[[Bundle], Agent]
    envelope: dict[str, Any]


def serve(
    served: ServedAgent,
    settings: ServerSettings,
    *,
    listens: Callable[[str], None] = lambda url: None,
    follows: Any = None,
    beside: Callable[[str, bool], Any] | None = None,
) -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP; returns the exit status.

    Args:
      served: the agent.
      settings: how it is served.
      listens: called with the address of the server as soon as it listens there.
      follows: the alias that names the agent, where it came from a registry: a `Following`, whose module needs the extra.
      beside: makes another application, such as a dashboard, that answers every path that the server does not know. It is
        called with the address of the server, and with whether only this machine reaches it.
    Raises:
      UsageError: settings that cannot be, an address that cannot be used, or a store that another server owns.
      MissingExtraError: the extra `serve` is not installed.
      StoreError: the store cannot be used.
    """
    try:
        import httptools  # noqa: F401
        import msgspec  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which the server needs,", "serve") from error

    from quickstudy.serving.engine import Engine
    from quickstudy.serving.http.application import Application
    from quickstudy.serving.http.tokens import Rates, Tokens
    from quickstudy.serving.stores import open_store

    check_settings(settings)
    if follows is not None and settings.moves != "refuse":
        raise UsageError(
            "moves is a rule of the agent in its registry: quickstudy registry promote FOLDER NAME VERSION --moves "
            f"{settings.moves}. Leave --moves out here."
        )
    with contextlib.ExitStack() as closing:
        listening = closing.enter_context(listening_on(settings.host, settings.port))
        store = open_store(settings.store)
        closing.callback(store.close)
        tokens = Tokens(store)
        if not (tokens.used or is_loopback(listening)):
            raise UsageError(
                f"host {settings.host!r} can be reached from other machines, and no token is set up. Make one first: "
                "quickstudy token add STORE TENANT, where STORE is what follows --store."
            )
        engine = Engine(
            served,
            store,
            strict=settings.durability == "strict",
            most_sessions=settings.most_sessions,
            most_live=settings.most_live,
            moves=settings.moves,
            versions=None if follows is None else follows.versions,
        )
        other = None if beside is None else beside(url_of(listening), is_loopback(listening))
        application = Application(engine, tokens, rates=Rates(settings.rate), follows=follows, beside=other)
        # Without a `log_config` of its own, uvicorn leaves the handlers of the whole process as they are.
        config: dict[str, Any] = {"access_log": False, "log_config": None, "log_level": "warning", "server_header": False}
        config |= {"http": "httptools", "ws": "none", "proxy_headers": False}
        server = uvicorn.Server(uvicorn.Config(application.asgi(), timeout_graceful_shutdown=_DRAIN_SECONDS, **config))
        # Three threads take turns: HTTP, the engine, and the one that writes. None may keep the interpreter for long.
        closing.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_TURN_SECONDS)
        listens(url_of(listening))
        with stopped_by_signals(server):
            server.run(sockets=[listening])
        return 1 if application.failed is not None else 0


def bundle_digest(card: dict[str, Any], seed: int, *, envelope: str | None = None) -> str:
    """Names one of the agents of a bundle: its algorithm and settings, its spaces, its parameters, its envelope.

    Args:
      card: the content of `bundle.json`.
      seed: of training, whose agent is served.
      envelope: digest of its envelope; None where it has none.
    """
    import hashlib
    import json

    kept = {name: card[name] for name in ("algorithm", "spec", "parameters_sha256")} | {"seed": seed}
    kept |= {} if envelope is None else {"envelope": envelope}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def served_from_bundle(
    path: str, *, policy: SessionPolicy, seed: int = 0, long_chunks: bool = False, guard: Guard | None = None
) -> ServedAgent:
    """The agent of a bundle, ready to be served.

    Args:
      path: of the bundle's folder, or of a run's.
      policy: of its sessions.
      seed: of training, whose agent is served; also of the randomness of its sessions.
      long_chunks: as in `ServedAgent`.
      guard: the envelope of the agent, if it has one.
    Raises:
      BundleError: the bundle cannot be read.
    """
    bundle = load_bundle(path)
    agent, params = bundle.agent if guard is None else guard.guarded(bundle), bundle.params_of(seed)
    envelope = None if guard is None else guard.envelope
    digest = bundle_digest(bundle.card, seed, envelope=None if envelope is None else envelope["digest"])
    return ServedAgent(agent, params, policy=policy, seed=seed, digest=digest, long_chunks=long_chunks, envelope=envelope)


def listening_on(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Args:
      host: name or address; an empty one means every address of this machine.
      port: 0 takes a free one.
    Raises:
      UsageError: there is no such address, or it is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        (*_, address), *_ = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: text that is the name of no machine
        said = getattr(error, "strerror", None) or error
        raise UsageError(f"the server cannot listen on host {host!r}, port {port}: {said}.") from None


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """The address of a socket for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def stopped_by_signals(server: Any) -> Iterator[None]:
    """In this context SIGINT, SIGTERM and SIGHUP stop a `uvicorn.Server` in good order, which may take a while.

    uvicorn hears the first two itself, and raises them again when it has stopped. Then there is nothing left to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    earlier = {number: signal.signal(number, stop) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    # The command line learns of signals through this descriptor, and ends a program that goes on for some seconds.
    watched = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(watched, warn_on_full_buffer=False)
        for number, handler in earlier.items():
            signal.signal(number, handler)
