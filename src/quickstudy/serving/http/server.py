"""A server process: a bundle, a store, an application, and uvicorn."""

import dataclasses
import ipaddress
import signal
from typing import Any

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.served_agent import ServedAgent

_DRAIN_SECONDS = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server serves."""

    store: str = "sqlite:sessions.db"
    """Where sessions are stored: sqlite:PATH, or postgresql://USER@HOST/DATABASE."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs tokens (quickstudy token add)."""
    port: int = 8080
    """Port to listen on; 0 takes a free one."""
    durability: str = "fast"
    """fast: answer a decision before the disk has it, if this server owns its store; strict: after."""
    rate: float | None = None
    """Requests per second that a tenant may send; no limit if not given."""
    most_sessions: int | None = None
    """Sessions that a tenant may have; no limit if not given."""
    moves: str = "refuse"
    """Sessions of another version of the agent: refuse them, replay their record with this version, or restart them."""
    most_live: int = 100_000
    """Sessions that are kept in memory; others are read from the store when they are asked for."""


def serve(served: ServedAgent, settings: ServerSettings) -> int:
    """Serves until it is told to stop; returns the exit status.

    Raises:
      UsageError: settings that cannot be, or a store that another server owns.
      MissingExtraError: the extra `serve` is not installed.
      StoreError: the store cannot be used.
    """
    try:
        import msgspec  # noqa: F401
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which the server needs,", "serve") from error

    from quickstudy.serving.engine import Engine
    from quickstudy.serving.http.application import Application
    from quickstudy.serving.http.tokens import Rates, Tokens
    from quickstudy.serving.stores import open_store

    if settings.durability not in ("fast", "strict"):
        raise UsageError(f"durability must be fast or strict; came {settings.durability!r}.")
    store = open_store(settings.store)
    tokens = Tokens(store)
    if not (tokens.used or _is_loopback(settings.host)):
        store.close()
        raise UsageError(
            f"--host {settings.host} can be reached from other machines, and no token is set up. Make one first: "
            f"quickstudy token add {settings.store} TENANT"
        )
    engine = Engine(
        served,
        store,
        strict=settings.durability == "strict",
        most_sessions=settings.most_sessions,
        most_live=settings.most_live,
        moves=settings.moves,
    )
    application = Application(engine, tokens, rates=Rates(settings.rate))
    config: dict[str, Any] = {"host": settings.host, "port": settings.port, "access_log": False, "log_level": "warning"}
    server = uvicorn.Server(
        uvicorn.Config(application.starlette(), timeout_graceful_shutdown=_DRAIN_SECONDS, server_header=False, **config)
    )
    # uvicorn stops in an orderly way, and then raises the signal again; the status shall say that all went well.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run()
    return 1 if application.failed is not None else 0


def bundle_digest(card: dict[str, Any], seed: int) -> str:
    """Names one of the agents of a bundle: its algorithm and settings, its spaces, its parameters.

    Args:
      card: the content of `bundle.json`.
      seed: of training, whose agent is served.
    """
    import hashlib
    import json

    kept = {name: card[name] for name in ("algorithm", "spec", "parameters_sha256")} | {"seed": seed}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def served_from_bundle(path: str, *, policy: SessionPolicy, seed: int = 0, long_chunks: bool = False) -> ServedAgent:
    """The agent of a bundle, ready to be served.

    Args:
      path: of the bundle's folder, or of a run's.
      policy: of its sessions.
      seed: of training, whose agent is served; also of the randomness of its sessions.
      long_chunks: as in `ServedAgent`.
    Raises:
      BundleError: the bundle cannot be read.
    """
    from quickstudy.storage.bundle import load_bundle

    bundle = load_bundle(path)
    digest = bundle_digest(bundle.card, seed)
    return ServedAgent(bundle.agent, bundle.params_of(seed), policy=policy, seed=seed, digest=digest, long_chunks=long_chunks)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
