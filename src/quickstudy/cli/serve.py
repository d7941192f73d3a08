"""`quickstudy serve BUNDLE`: sessions that adapt, over HTTP."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.guards import guard_of
from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.serving.http.server import ServerSettings, serve, served_from_bundle
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.served_agent import ServedAgent

_USAGE = (
    "quickstudy serve BUNDLE [--store sqlite:PATH] [--port 8080] [--flags], or serve NAME@ALIAS --registry FOLDER [--flags]"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentArguments:
    """Which agent of the bundle is served."""

    seed: int | None = None
    """Which of the independently trained agents; also the seed of its sessions. If not given: 0, or as the registry says."""
    long_chunks: bool = False
    """Allow an agent that adapts on many steps at once. Each of its sessions then keeps that many steps in memory."""
    envelope: str | None = None
    """File of an adaptation envelope, whose rules the agent keeps. If not given: none, or as the registry says."""
    on: str | None = None
    """Task distribution of the fallback baseline, if it is not the registered one that the agent was trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistryArguments:
    """Where versions NAME@ALIAS are found."""

    registry: str | None = None
    """Folder of the registry. The server follows the alias: it takes up another version without a restart."""
    shadow: str | None = None
    """Alias of a version that also decides every step. Its decisions are logged but never carried out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageArguments:
    """What the server shows in the browser."""

    dashboard: bool = False
    """Show the dashboard at the same address: sessions, the audit, the registry, and runs."""
    runs: str = "runs"
    """Folder with the runs that the dashboard shows."""


def run(arguments: list[str]) -> int:
    """Serves until it is told to stop."""
    words, flags = positional(arguments, ("BUNDLE",), usage=_USAGE)
    kinds: dict[str, type] = {
        "server": ServerSettings,
        "policy": SessionPolicy,
        "agent": AgentArguments,
        "versions": RegistryArguments,
        "pages": PageArguments,
    }
    fields: list[Any] = [(name, kind, dataclasses.field(default_factory=kind)) for name, kind in kinds.items()]
    everything = dataclasses.make_dataclass("Serve", fields, frozen=True, kw_only=True)
    asked: Any = parse(
        everything, flags, program=_USAGE.partition(" [")[0], description="Serves sessions that adapt, over HTTP. Ctrl-C stops."
    )

    def load(path: Path, seed: int, envelope: Path | None) -> ServedAgent:
        return served_from_bundle(
            str(path),
            policy=asked.policy,
            seed=seed,
            long_chunks=asked.agent.long_chunks,
            guard=None if envelope is None else guard_of(envelope, seed=seed, on=asked.agent.on),
        )

    follows = _followed(words[0], asked.versions, load, asked.agent)
    envelope = None if asked.agent.envelope is None else Path(asked.agent.envelope)
    served = load(Path(words[0]), asked.agent.seed or 0, envelope) if follows is None else follows.versions.current

    def listens(url: str) -> None:
        within = "" if served.envelope is None else f", envelope {served.envelope['digest'][:12]}"
        print(f"Serving {words[0]} (agent {served.digest[:12]}{within}) at {url}")
        print("Ready when /readyz answers 200. Ctrl-C stops.", flush=True)

    with contextlib.ExitStack() as closing:
        beside = _beside(asked, closing) if asked.pages.dashboard else None
        return serve(served, asked.server, listens=listens, follows=follows, beside=beside)


def _beside(asked: Any, closing: contextlib.ExitStack) -> Callable[[str, bool], Any]:
    """Makes the dashboard of a server. It reads the store through connections of its own, so no request waits for a page."""

    def made(url: str, loopback: bool) -> Any:
        from quickstudy.dashboard.sources import Sources, dashboard
        from quickstudy.serving.registry import Registry
        from quickstudy.serving.stores import open_store

        store = open_store(asked.server.store, serves=False)
        closing.callback(store.close)
        registry = None if asked.versions.registry is None else Registry(asked.versions.registry)
        return dashboard(
            Sources(runs=Path(asked.pages.runs), store=store, registry=registry, server=url, loopback=loopback)
        )  # fmt: skip

    return made


def _followed(
    word: str, asked: RegistryArguments, load: Callable[[Path, int, Path | None], ServedAgent], agent: AgentArguments
) -> Any:
    """The alias that a server follows, as a `Following`; None where it serves a bundle.

    Raises:
      UsageError: flags that contradict one another, a registry that is damaged, or no such alias.
    """
    name, at, alias = word.partition("@")
    if asked.registry is None:
        if asked.shadow is not None:
            raise UsageError("--shadow names an alias of a registry. Add --registry FOLDER, and serve NAME@ALIAS.")
        if at and not Path(word).exists():
            raise UsageError(
                f"{word!r:.200} is looked up in a registry. Add --registry FOLDER, or name the folder of a bundle."
            )
        return None
    if not (name and alias):
        raise UsageError(f"with --registry, serve NAME@ALIAS, as in my-agent@champion; came {word!r:.200}.")
    given = {"--seed": agent.seed, "--envelope": agent.envelope, "--on": agent.on}
    for flag in (flag for flag, value in given.items() if value is not None):
        raise UsageError(
            f"{flag} belongs to a version in the registry: quickstudy registry put FOLDER NAME BUNDLE {flag} VALUE."
        )
    try:
        from quickstudy.serving.following import Following
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which the server needs,", "serve") from error
    from quickstudy.serving.registry import Registry

    return Following(Registry(asked.registry), name, alias, shadow=asked.shadow, load=load)
