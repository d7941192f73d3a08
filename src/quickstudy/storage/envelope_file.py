"""An adaptation envelope as a JSON file, read strictly: it decides what a deployed agent may do.

The file holds `format` and the fields of `rollout.envelope.rules.Envelope`. A field that is not known is refused, because a
rule with a misspelt name would not hold.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.rules import Envelope
from quickstudy.storage.atomic import write_new_file
from quickstudy.storage.plain import from_document, read_object, to_document
from quickstudy.storage.reading import read_file

FORMAT = 1
"""Version of the format of the file."""
ENVELOPE = "envelope.json"
"""Name of the file that `copy_envelope` writes."""
_READOUT = "readout"
_DIGITS = 17
_LARGEST_READOUT = 2**30
_NAMED = "readout that the envelope names"
_REMEDY = "docs/envelope.md of quickstudy lists the fields."


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredEnvelope:
    """An envelope and where it came from.

    Args:
      envelope: its rules.
      readout: file of the readout that computes the p-values; None if no rule names one.
      digest: SHA-256 of all rules, notes aside, and of the content of the readout.
    """

    envelope: Envelope
    readout: Path | None
    digest: str

    def describe(self) -> dict[str, Any]:
        """Digest and rules as plain data: what the audit log keeps."""
        return {"digest": self.digest, "rules": plain_envelope(self.envelope)}


def load_envelope(path: str | os.PathLike) -> StoredEnvelope:
    """The envelope in a file. The readout that it names lies beside it, or has an absolute path.

    Raises:
      UsageError: no such file, not JSON, a number that is not finite, a field that is missing, of another type or out of its
        range, a field that is not known, or rules that contradict one another.
    """
    data = read_object(path, what="envelope")
    try:
        envelope = from_document(Envelope, data, version=FORMAT, what="envelope", remedy=_REMEDY)
    except UsageError as error:
        raise UsageError(f"{os.fspath(path)}: {error}") from error
    readout = None
    if envelope.surprise is not None and envelope.surprise.readout is not None:
        readout = Path(path).parent / envelope.surprise.readout
    return StoredEnvelope(envelope=envelope, readout=readout, digest=_digest(envelope, readout))


def copy_envelope(stored: StoredEnvelope, folder: Path) -> None:
    """Writes an envelope, and the readout that it names, into a new folder. The copy has the same digest."""
    envelope = stored.envelope
    if stored.readout is not None and envelope.surprise is not None:
        copy = folder / f"{_READOUT}{stored.readout.suffix}"
        write_new_file(copy, read_file(stored.readout, what=_NAMED, most_bytes=_LARGEST_READOUT))
        envelope = dataclasses.replace(envelope, surprise=dataclasses.replace(envelope.surprise, readout=copy.name))
    write_new_file(folder / ENVELOPE, json.dumps(plain_envelope(envelope), indent=2).encode())


def plain_envelope(envelope: Envelope) -> dict[str, Any]:
    """An envelope as plain data with its format: the content of a file."""
    return to_document(envelope, version=FORMAT, digits=_DIGITS)


def _digest(envelope: Envelope, readout: Path | None) -> str:
    rules: dict[str, Any] = {name: value for name, value in plain_envelope(envelope).items() if name != "note"}
    if readout is not None:
        content = read_file(readout, what=_NAMED, most_bytes=_LARGEST_READOUT)
        rules["surprise"] = rules["surprise"] | {"readout": hashlib.sha256(content).hexdigest()}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
