"""Tokens: who may do what, for which tenant. Only their SHA-256 is stored, because they are random and long."""

import dataclasses
import hashlib
import hmac
import secrets
import threading
import time

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.stores.store import Store, StoreError, Token

SCOPES = ("read", "act", "reward", "admin")
"""Look at sessions; ask for decisions; send rewards; everything that changes, copies or deletes sessions, and the audit."""
_REFRESH_SECONDS = 2.0
_NOBODY = Token("", b"\0" * 32, "", "")


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant, and what it may do."""

    tenant: str
    scopes: frozenset[str]
    token_id: str = ""

    def needs(self, scope: str) -> None:
        """Raises `Refusal` unless this caller has a scope."""
        if scope not in self.scopes:
            raise Refusal("forbidden", f"this token has no scope {scope!r}.", hint="Ask the operator for a token that has it.")


EVERYBODY = Caller("default", frozenset(SCOPES))
"""The caller where no tokens are used, which only this machine can be."""


def new_token(tenant: str, scopes: tuple[str, ...]) -> tuple[str, Token]:
    """A token as it is given to somebody, and as it is stored.

    Raises:
      UsageError: an unknown scope, or none.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"scopes are one or more of {', '.join(SCOPES)}; came {', '.join(scopes) or 'none'}.")
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    text = f"qs_{token_id}_{secret}"
    return text, Token(token_id, hashlib.sha256(text.encode()).digest(), tenant, " ".join(scopes))


class Tokens:
    """The tokens of a store. They are read again every two seconds, so a token that is removed stops working.

    Args:
      store: that holds them.
    """

    def __init__(self, store: Store):
        self._store, self._lock = store, threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._read_at = -float("inf")
        self.refresh()

    @property
    def used(self) -> bool:
        """Whether there are any; if not, nobody needs one."""
        return bool(self._tokens)

    def refresh(self) -> None:
        """Reads the tokens, where they were not read lately; keeps the old ones if the store cannot be read."""
        if time.monotonic() - self._read_at < _REFRESH_SECONDS:
            return
        with self._lock:
            self._read_at = time.monotonic()
            try:
                self._tokens = {token.token_id: token for token in self._store.tokens()}
            except StoreError:
                if not self._tokens:
                    raise

    def caller(self, authorization: str | None) -> Caller:
        """Who sends a request with this header.

        Raises:
          Refusal: there are tokens, and this is none of them.
        """
        if not self._tokens:
            return EVERYBODY
        scheme, _, text = (authorization or "").partition(" ")
        parts = text.strip().split("_", 2)
        token = self._tokens.get(parts[1] if len(parts) == 3 else "", _NOBODY)
        right = hmac.compare_digest(hashlib.sha256(text.strip().encode()).digest(), token.sha256)
        if scheme.lower() != "bearer" or not right or token is _NOBODY:
            raise Refusal("unauthorised", "this server needs a token.", hint='Send the header "Authorization: Bearer TOKEN".')
        return Caller(token.tenant, frozenset(token.scopes.split()), token.token_id)


class Rates:
    """A bucket for each tenant: requests per second, with some in reserve.

    Args:
      per_second: requests that a tenant may send; None for no limit.
      reserve: requests that it may send at once after a pause.
    """

    def __init__(self, per_second: float | None, *, reserve: float = 2.0):
        self._per_second, self._most = per_second, (per_second or 0.0) * reserve
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, tenant: str, count: int = 1) -> None:
        """Takes requests out of a tenant's bucket.

        Raises:
          Refusal: it is empty.
        """
        if self._per_second is None:
            return
        now = time.monotonic()
        left, at = self._left.get(tenant, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        if left < min(count, self._most):
            self._left[tenant] = (left, now)
            raise Refusal("quota", f"this tenant may send {self._per_second:g} requests a second.", hint="Send fewer.")
        self._left[tenant] = (left - count, now)
