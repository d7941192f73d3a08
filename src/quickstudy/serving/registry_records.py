"""What the files of a registry hold. Each holds a digest of itself, so damage is noticed."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.reading import DESCRIPTION, read_json

FORMAT = 1
REPAIR = "Restore the file from a backup, or put the versions into a new registry."
PUT_AGAIN = "Put the bundle in again."

Moves = Literal["pin", "replay", "restart"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alias:
    """A name for a version. `before`: versions that it named earlier, the last one at the end; a rollback goes back there."""

    agent: str
    before: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One change of an alias, as it is kept for people."""

    at: str
    what: str
    alias: str
    agent: str
    moves: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What a registry says of one agent.

    Args:
      moves: what becomes of sessions of other versions: `pin`, `replay` or `restart`, as in `versions.MOVES`.
      aliases: by name.
      history: every change, the oldest first.
    """

    moves: Moves = "pin"
    aliases: Mapping[str, Alias] = dataclasses.field(default_factory=dict)
    history: tuple[Change, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A version in a registry.

    Args:
      agent: its digest.
      seed: of training, whose agent it is; also of the randomness of its sessions.
      described: as `ServedAgent.described` gives it.
    """

    agent: str
    seed: int
    described: str


def read_record(path: Path, what: str) -> dict[str, Any]:
    """A file of the registry without its format and digest, both checked.

    Raises:
      UsageError: it cannot be read, is damaged, or has another format.
    """
    content = read_json(path, what=what, limit=DESCRIPTION)
    form, digest = content.pop("format", None), content.pop("digest", None)
    if form != FORMAT:
        raise UsageError(f"{path} has format {form!r:.40}; this version of quickstudy reads format {FORMAT}.")
    if digest != _digest(content):
        raise UsageError(f"{path} is damaged or was changed: it does not agree with its digest. {REPAIR}")
    return content


def rendered_record(record: Any) -> bytes:
    """The content of a file of the registry."""
    content = json.loads(json.dumps(dataclasses.asdict(record)))
    return (json.dumps({"format": FORMAT, **content, "digest": _digest(content)}, indent=2) + "\n").encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
