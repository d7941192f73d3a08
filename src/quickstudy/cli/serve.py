"""`quickstudy serve BUNDLE`: sessions that adapt, over HTTP."""

import dataclasses
from typing import Any

from quickstudy.cli.arguments import parse, positional
from quickstudy.serving.http.server import ServerSettings, serve, served_from_bundle
from quickstudy.serving.policy import SessionPolicy

_USAGE = "quickstudy serve BUNDLE [--store sqlite:PATH] [--port 8080] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentArguments:
    """Which agent of the bundle is served."""

    seed: int = 0
    """Seed of training, whose agent is served; also of the randomness of its sessions."""
    long_chunks: bool = False
    """Serve an agent that adapts on many steps at once, which its sessions then hold."""


def run(arguments: list[str]) -> int:
    """Serves until it is told to stop."""
    words, flags = positional(arguments, ("BUNDLE",), usage=_USAGE)
    kinds: dict[str, type] = {"server": ServerSettings, "policy": SessionPolicy, "agent": AgentArguments}
    fields: list[Any] = [(name, kind, dataclasses.field(default_factory=kind)) for name, kind in kinds.items()]
    everything = dataclasses.make_dataclass("Serve", fields, frozen=True, kw_only=True)
    asked: Any = parse(
        everything, flags, program="quickstudy serve", description="Serves sessions that adapt, over HTTP. Ctrl-C stops."
    )
    served = served_from_bundle(words[0], policy=asked.policy, seed=asked.agent.seed, long_chunks=asked.agent.long_chunks)

    def listens(url: str) -> None:
        print(f"Serving {words[0]} (agent {served.digest[:12]}) at {url}")
        print("Ready when /readyz answers 200. Ctrl-C stops.", flush=True)

    return serve(served, asked.server, listens=listens)
