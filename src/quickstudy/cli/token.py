"""`quickstudy token add|list|remove STORE`: who may use a server."""

import dataclasses

from quickstudy.cli.arguments import parse, positional, with_usages
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.printable import printable

_SAID = "Creates, lists and removes tokens: who may use a server."
_USAGES = {
    "add": "quickstudy token add STORE TENANT [--scopes read act reward]",
    "list": "quickstudy token list STORE",
    "remove": "quickstudy token remove STORE ID",
}
WORDS = {"add": ("STORE", "TENANT"), "list": ("STORE",), "remove": ("STORE", "ID")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenArguments:
    """What the token allows."""

    scopes: tuple[str, ...] = ("read", "act", "reward")
    """Scopes of a new token: read, act, reward, admin."""


def run(arguments: list[str]) -> int:
    """Adds, lists or removes tokens."""
    described = with_usages(_SAID, _USAGES)
    if not arguments or arguments[0] in ("-h", "--help"):
        parse(TokenArguments, ["--help"] if arguments else [], program="quickstudy token", description=described)
        raise UsageError(f"Usage: {'; '.join(_USAGES.values())}.")
    verb, rest = arguments[0], arguments[1:]
    if verb not in WORDS:
        raise UnknownNameError("command of quickstudy token", verb, WORDS)
    words, flags = positional(rest, WORDS[verb], usage=_USAGES[verb])
    asked = parse(TokenArguments, flags, program="quickstudy token", description=described)
    from quickstudy.serving.http.tokens import new_token
    from quickstudy.serving.stores import open_store

    store = open_store(words[0], serves=False, creates=verb == "add")
    try:
        if verb == "list":
            for token in store.tokens():
                print(printable(f"{token.token_id}  {token.tenant}  {token.scopes}"))
        elif verb == "add":
            text, token = new_token(words[1], asked.scopes)
            store.add_token(token)
            print(text)
        elif not store.remove_token(words[1]):
            raise UsageError(f"there is no token {words[1]!r}. `quickstudy token list {words[0]}` lists them.")
    finally:
        store.close()
    return 0
