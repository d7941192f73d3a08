"""The audit chain: a commitment to every event of every session, so that every change or omission is found.

    commitment = SHA-256(salt | payload)                                 of an event; the salt is random
    link_n     = SHA-256(link_n-1 | shard | n | commitments of one transaction)
    link_0     = SHA-256(shard | last links of all other shards)

Each server process has a shard of its own. Links hold commitments only. So a session can be deleted with its salts and
payloads, and the chain still verifies. Deleted payloads cannot be found by trial, because the salts are gone.
"""

import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence

SALT_BYTES = 16
DIGEST_BYTES = 32


@dataclasses.dataclass(frozen=True, slots=True)
class ChainLink:
    """One link: the commitments of a transaction, one after another, and the value that closes them."""

    shard: str
    seq: int
    commitments: bytes
    value: bytes


class Chain:
    """The shard of one server process.

    Args:
      shard: its name.
      others: the last link value of every other shard, by name.
    """

    def __init__(self, shard: str, others: Mapping[str, bytes]):
        self.shard, self.others = shard, dict(others)
        self.seq, self.value = 0, genesis_value(shard, others)

    def next(self, payloads: Sequence[bytes]) -> tuple[list[bytes], ChainLink]:
        """Salts of payloads, and the link that holds their commitments. The chain does not move on yet."""
        random = os.urandom(SALT_BYTES * len(payloads))
        salts = [random[i : i + SALT_BYTES] for i in range(0, len(random), SALT_BYTES)]
        commitments = b"".join(commitment(salt, payload) for salt, payload in zip(salts, payloads, strict=True))
        seq = self.seq + 1
        return salts, ChainLink(self.shard, seq, commitments, link_value(self.value, self.shard, seq, commitments))

    def advance(self, link: ChainLink) -> None:
        """Moves on to a link that was stored."""
        self.seq, self.value = link.seq, link.value


def new_chain(heads: Mapping[str, ChainLink]) -> Chain:
    """A new shard that commits to the last links of all others."""
    return Chain(secrets.token_hex(8), {name: link.value for name, link in heads.items()})


def genesis_value(shard: str, heads: Mapping[str, bytes]) -> bytes:
    """Link 0 of a shard, from the last link values of all other shards."""
    others = b"".join(name.encode() + value for name, value in sorted(heads.items()))
    return hashlib.sha256(shard.encode() + others).digest()


def commitment(salt: bytes, payload: bytes) -> bytes:
    """The commitment of one event."""
    return hashlib.sha256(salt + payload).digest()


def link_value(before: bytes, shard: str, seq: int, commitments: bytes) -> bytes:
    """The value of a link."""
    return hashlib.sha256(before + shard.encode() + seq.to_bytes(8, "big") + commitments).digest()


def payload_of(tenant: str, session: str, number: int, kind: str, body: bytes) -> bytes:
    """The bytes of a commitment: the event with its place, without ambiguity."""
    return "\0".join([tenant, session, str(number), kind, ""]).encode() + body


def others_text(others: Mapping[str, bytes]) -> str:
    """The last links of other shards as text, for stores."""
    return json.dumps({name: value.hex() for name, value in sorted(others.items())})


def others_of(text: str) -> dict[str, bytes]:
    """The inverse of `others_text`."""
    return {name: bytes.fromhex(value) for name, value in json.loads(text).items()}
