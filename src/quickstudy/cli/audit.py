"""`quickstudy audit show|verify|heads|export|evaluate STORE`: the decisions of a server, whether its log is unchanged, and the
return that another agent would have had."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from quickstudy.cli.arguments import parse, positional, with_usages
from quickstudy.evaluation.numbers import counted
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError, UsageError
from quickstudy.protocol.setting_values import Count, Seed

_SAID = "Checks and prints the log of a server, and evaluates another agent on it."
_USAGES = {
    "verify": "quickstudy audit verify STORE",
    "heads": "quickstudy audit heads STORE",
    "export": "quickstudy audit export STORE",
    "show": "quickstudy audit show STORE SESSION DECISION",
    "evaluate": "quickstudy audit evaluate STORE BUNDLE",
}
WORDS = {
    "verify": ("STORE",),
    "heads": ("STORE",),
    "export": ("STORE",),
    "show": ("STORE", "SESSION", "DECISION"),
    "evaluate": ("STORE", "BUNDLE"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditArguments:
    """What is read."""

    tenant: str = "default"
    """For show and evaluate: tenant of the sessions."""
    kept: str | None = None
    """For verify: a file with the output of an earlier `quickstudy audit heads`."""
    decisions: Count = 5
    """For evaluate: how many decisions of each lifetime count, from the first on."""
    seed: Seed = 0
    """For evaluate: which of the independently trained agents, from 0."""
    version: str | None = None
    """For evaluate: only sessions that this version of the agent served. Give its digest, or the first letters of it."""
    unknown_reward: float | None = None
    """For evaluate: the reward of decisions whose reward never came. If not given, their lifetimes are left out."""


def run(arguments: list[str]) -> int:
    """Prints what is asked for; the exit status of verify is 1 if something is wrong."""
    described = with_usages(_SAID, _USAGES)
    if not arguments or arguments[0] in ("-h", "--help"):
        parse(AuditArguments, ["--help"] if arguments else [], program="quickstudy audit", description=described)
        raise UsageError(f"Usage: {'; '.join(_USAGES.values())}.")
    verb, rest = arguments[0], arguments[1:]
    if verb not in WORDS:
        raise UnknownNameError("command of quickstudy audit", verb, WORDS)
    words, flags = positional(rest, WORDS[verb], usage=_USAGES[verb])
    asked = parse(AuditArguments, flags, program="quickstudy audit", description=described)
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
