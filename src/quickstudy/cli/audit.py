"""`quickstudy audit show|verify|heads|export|evaluate STORE`: what a server decided, whether its log is whole, and what another
agent would have earned."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from quickstudy.cli.arguments import parse, positional
from quickstudy.evaluation.numbers import counted
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError, UsageError
from quickstudy.protocol.setting_values import Count, Seed

_USAGE = (
    "quickstudy audit verify STORE, audit heads STORE, audit export STORE, audit show STORE SESSION DECISION, "
    "audit evaluate STORE BUNDLE"
)
WORDS = {
    "verify": ("STORE",),
    "heads": ("STORE",),
    "export": ("STORE",),
    "show": ("STORE", "SESSION", "DECISION"),
    "evaluate": ("STORE", "BUNDLE"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditArguments:
    """What is looked at."""

    tenant: str = "default"
    """Tenant of the session, for show; of the sessions, for evaluate."""
    kept: str | None = None
    """For verify: a file with the output of an earlier `quickstudy audit heads`."""
    decisions: Count = 5
    """For evaluate: decisions of each lifetime that count, the first ones."""
    seed: Seed = 0
    """For evaluate: seed of training, whose agent is evaluated."""
    version: str | None = None
    """For evaluate: read only sessions that this version of the agent served; its digest, or the beginning of it."""
    unknown_reward: float | None = None
    """For evaluate: stands for rewards that never came; without it, lifetimes with such a decision are left out."""


def run(arguments: list[str]) -> int:
    """Prints what is asked for; the exit status of verify is 1 if something is wrong."""
    if not arguments or arguments[0] in ("-h", "--help"):
        parse(AuditArguments, ["--help"] if arguments else [], program="quickstudy audit", description=_USAGE)
        raise UsageError(f"Usage: {_USAGE}.")
    verb, rest = arguments[0], arguments[1:]
    if verb not in WORDS:
        raise UnknownNameError("command of quickstudy audit", verb, WORDS)
    words, flags = positional(rest, WORDS[verb], usage=_USAGE)
    asked = parse(AuditArguments, flags, program="quickstudy audit", description=f"The audit of a store. {_USAGE}")
    try:
        from quickstudy.serving import audit
    except ImportError as error:
        raise MissingExtraError(f"{error.name}, which the audit needs,", "serve") from error
    from quickstudy.serving.requests import SessionName
    from quickstudy.serving.stores import open_store

    if verb == "evaluate":
        from quickstudy.cli.audit_evaluation import evaluated
    store = open_store(words[0], serves=False, creates=False)
    try:
        if verb == "evaluate":
            evaluated(store, words[1], asked)
        elif verb == "heads":
            print(json.dumps(audit.heads(store), indent=2))
        elif verb == "export":
            for one in audit.exported(store):
                print(json.dumps(one))
        elif verb == "show":
            report = audit.decision_report(store, SessionName(asked.tenant, words[1]), words[2])
            print(json.dumps(report, indent=2))
        else:
            return _verified(audit.verify(store, kept=_kept(asked.kept)))
    finally:
        store.close()
    return 0


def _verified(found: Any) -> int:
    for said in found.wrong:
        print(f"WRONG: {said}")
    wrong = f"{counted(len(found.wrong), 'fault')} found." if found.wrong else "The log is whole."
    print(
        f"{counted(found.events, 'event')} in {counted(found.links, 'link')} of {counted(found.shards, 'shard')}; "
        f"{counted(found.deleted, 'event')} deleted with their session. {wrong}"
    )
    return 1 if found.wrong else 0


def _kept(path: str | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        if not Path(path).is_file():
            raise ValueError("it is not a file")
        links = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(links, dict) or not all(isinstance(link, str) for link in links.values()):
            raise ValueError("it is not a table of links")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as the output of `quickstudy audit heads`: {error}.") from error
    return links
