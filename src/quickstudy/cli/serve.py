"""`quickstudy serve BUNDLE`: sessions that adapt, over HTTP."""

import dataclasses
from typing import Any

from quickstudy.cli.arguments import parse, positional
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.http.server import Guard, ServerSettings, serve, served_from_bundle
from quickstudy.serving.policy import SessionPolicy
from quickstudy.storage.bundle import Bundle

_USAGE = "quickstudy serve BUNDLE [--store sqlite:PATH] [--port 8080] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentArguments:
    """Which agent of the bundle is served."""

    seed: int = 0
    """Seed of training, whose agent is served; also of the randomness of its sessions."""
    long_chunks: bool = False
    """Serve an agent that adapts on many steps at once, which its sessions then hold."""
    envelope: str | None = None
    """File of an adaptation envelope, whose rules the agent keeps."""
    on: str | None = None
    """The task distribution whose baselines hold the fallback, if not the registered one trained on."""


def _guard(asked: AgentArguments) -> Guard:
    """The envelope that was asked for, ready for a bundle."""
    from quickstudy.evaluation.guarded import guarded_agent, seed_of_readout
    from quickstudy.storage.envelope_file import load_envelope

    stored = load_envelope(asked.envelope or "")

    def guarded(bundle: Bundle) -> Agent:
        if stored.readout is not None and seed_of_readout(stored, seeds=bundle.seeds) != asked.seed:
            seed = seed_of_readout(stored, seeds=bundle.seeds)
            raise UsageError(
                f"the readout of the envelope was fitted to the agent of training seed {seed}, and --seed is {asked.seed}. "
                f"Serve --seed {seed}, or fit another readout with quickstudy readout --seed-of-training {asked.seed}."
            )
        return guarded_agent(bundle.agent, stored, bundle.distribution(asked.on))

    return Guard(guarded=guarded, envelope=stored.describe())


def run(arguments: list[str]) -> int:
    """Serves until it is told to stop."""
    words, flags = positional(arguments, ("BUNDLE",), usage=_USAGE)
    kinds: dict[str, type] = {"server": ServerSettings, "policy": SessionPolicy, "agent": AgentArguments}
    fields: list[Any] = [(name, kind, dataclasses.field(default_factory=kind)) for name, kind in kinds.items()]
    everything = dataclasses.make_dataclass("Serve", fields, frozen=True, kw_only=True)
    asked: Any = parse(
        everything, flags, program="quickstudy serve", description="Serves sessions that adapt, over HTTP. Ctrl-C stops."
    )
    served = served_from_bundle(
        words[0],
        policy=asked.policy,
        seed=asked.agent.seed,
        long_chunks=asked.agent.long_chunks,
        guard=None if asked.agent.envelope is None else _guard(asked.agent),
    )

    def listens(url: str) -> None:
        within = "" if served.envelope is None else f", envelope {served.envelope['digest'][:12]}"
        print(f"Serving {words[0]} (agent {served.digest[:12]}{within}) at {url}")
        print("Ready when /readyz answers 200. Ctrl-C stops.", flush=True)

    return serve(served, asked.server, listens=listens)
