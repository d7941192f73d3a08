"""`quickstudy registry put|promote|rollback|list|push|pull FOLDER`: versions of agents, and which of them is in use."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from quickstudy.cli.arguments import parse, positional, with_usages
from quickstudy.cli.console import say
from quickstudy.protocol.errors import UnknownNameError, UsageError

_SAID = "Stores versions of agents, and which of them is in use."
_USAGES = {
    "put": "quickstudy registry put FOLDER NAME BUNDLE",
    "promote": "quickstudy registry promote FOLDER NAME VERSION [--moves replay]",
    "rollback": "quickstudy registry rollback FOLDER NAME",
    "list": "quickstudy registry list FOLDER NAME",
    "push": "quickstudy registry push FOLDER NAME VERSION [--address sqlite:///PATH]",
    "pull": "quickstudy registry pull FOLDER NAME VERSION [--address sqlite:///PATH]",
}
WORDS = {
    "put": ("FOLDER", "NAME", "BUNDLE"),
    "promote": ("FOLDER", "NAME", "VERSION"),
    "rollback": ("FOLDER", "NAME"),
    "list": ("FOLDER", "NAME"),
    "push": ("FOLDER", "NAME", "VERSION"),
    "pull": ("FOLDER", "NAME", "VERSION"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistryArguments:
    """What is changed, and how."""

    alias: str | None = None
    """For promote and rollback: the alias that changes, champion if not given. For put and pull: an alias for the new version.
    For push: an alias in MLflow; those of the registry if not given."""
    moves: Literal["pin", "replay", "restart"] | None = None
    """What happens to sessions of other versions: they keep their version, are replayed, or restart; as before if not given."""
    seed: int = 0
    """For put: which of the independently trained agents, from 0; also the seed of its sessions."""
    envelope: str | None = None
    """For put: file of an adaptation envelope. It is part of the version, so another envelope makes another version."""
    address: str = "sqlite:///tracked/mlflow.db"
    """For push and pull: the database or server of MLflow, whose model registry takes and gives versions."""


def run(arguments: list[str]) -> int:
    """Changes a registry, or prints what it holds."""
    described = with_usages(_SAID, _USAGES)
    if not arguments or arguments[0] in ("-h", "--help"):
        parse(RegistryArguments, ["--help"] if arguments else [], program="quickstudy registry", description=described)
        raise UsageError(f"Usage: {'; '.join(_USAGES.values())}.")
    verb, rest = arguments[0], arguments[1:]
    if verb not in WORDS:
        raise UnknownNameError("command of quickstudy registry", verb, WORDS)
    words, flags = positional(rest, WORDS[verb], usage=_USAGES[verb])
    asked = parse(RegistryArguments, flags, program="quickstudy registry", description=described)
    from quickstudy.serving.registry import CHAMPION, Registry

    registry, name = Registry(words[0]), words[1]
    alias = asked.alias or CHAMPION
    if verb == "put":
        digest = _put(registry, name, words[2], asked)
        say(f"{name} has version {digest[:12]}.")
        if asked.alias is not None:
            _tell(name, registry.promote(name, digest, alias=alias, moves=asked.moves))
    elif verb == "push":
        _push(registry, name, words[2], asked)
    elif verb == "pull":
        _pull(registry, name, words[2], asked)
    elif verb == "promote":
        _tell(name, registry.promote(name, words[2], alias=alias, moves=asked.moves))
    elif verb == "rollback":
        _tell(name, registry.rollback(name, alias=alias, moves=asked.moves))
    else:
        _list(registry, name)
    return 0


def _put(registry: Any, name: str, bundle: str, asked: RegistryArguments) -> str:
    return registry.put(name, bundle, seed=asked.seed, load=_load, envelope=asked.envelope)


def _load(path: Path, seed: int, envelope: Path | None) -> Any:
    from quickstudy.cli.guards import guard_of
    from quickstudy.serving.http.server import served_from_bundle
    from quickstudy.serving.policy import SessionPolicy

    policy = SessionPolicy()  # belongs to sessions, not to versions
    guard = None if envelope is None else guard_of(envelope, seed=seed)
    return served_from_bundle(str(path), policy=policy, seed=seed, long_chunks=True, guard=guard)


def _push(registry: Any, name: str, word: str, asked: RegistryArguments) -> None:
    from quickstudy.evaluation.agent_record import agent_record
    from quickstudy.reports.agent_card import render_card

    version = registry.path_of(name, registry.find(name, word))
    from quickstudy.adapters.mlflow_registry import push_version

    try:
        card = render_card(agent_record(version, name=name))
    except UsageError as error:
        card = None
        say(f"It goes without a card: {error}")
    done = push_version(registry, name, word, address=asked.address, load=_load, alias=asked.alias, card=card)
    named = f" Aliases: {', '.join(done.aliases)}." if done.aliases else ""
    was = "is" if done.made else "was already"
    say(f"{name} {done.digest[:12]} {was} version {done.version} in MLflow at {asked.address}.{named}")


def _pull(registry: Any, name: str, word: str, asked: RegistryArguments) -> None:
    from quickstudy.adapters.mlflow_registry import pull_version

    digest = pull_version(registry, name, word, address=asked.address, load=_load)
    say(f"{name} has version {digest[:12]}, from MLflow at {asked.address}.")
    if asked.alias is not None:
        _tell(name, registry.promote(name, digest, alias=asked.alias, moves=asked.moves))


def _tell(name: str, change: Any) -> None:
    sessions = {
        "pin": "stay with their version",
        "replay": "go on with this one, by replay, when they are next asked for",
        "restart": "restart with this one when they are next asked for",
    }
    say(f"{change.alias} of {name} is version {change.agent[:12]} now. Sessions of other versions {sessions[change.moves]}.")


def _list(registry: Any, name: str) -> None:
    model = registry.model(name)
    for digest in registry.versions(name):
        names = [alias for alias, one in model.aliases.items() if one.agent == digest]
        say(f"{digest[:12]}  {' '.join(names) or '-'}")
    for change in model.history:
        say(f"{change.at}  {change.what:8}  {change.alias} = {change.agent[:12]}  moves {change.moves}")
