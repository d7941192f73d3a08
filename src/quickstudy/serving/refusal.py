"""Why a request is refused, in the words that a client needs."""

from typing import Any

from quickstudy.protocol.errors import QuickstudyError

STATUSES = {
    "invalid": 422,
    "unauthorised": 401,
    "forbidden": 403,
    "unknown_session": 404,
    "unknown_decision": 404,
    "not_found": 404,
    "method": 405,
    "conflict": 409,
    "too_large": 413,
    "quota": 429,
    "overloaded": 503,
    "store": 503,
    "internal": 500,
}
"""The kinds of refusals, and the HTTP status of each."""


class Refusal(QuickstudyError):  # noqa: N818 - an answer as well as an error
    """A request that is refused; nothing was changed.

    Args:
      kind: one of `STATUSES`.
      message: what was wrong, one sentence.
      field: the part of the request that is wrong.
      expected, got: what is allowed there, and what came.
      hint: what to do next.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        field: str | None = None,
        expected: Any = None,
        got: Any = None,
        hint: str | None = None,
    ):
        parts = [message, f"Expected {expected}." if expected is not None else "", f"Came {got}." if got is not None else ""]
        super().__init__(" ".join(part for part in [*parts, hint or ""] if part))
        self.kind, self.message = kind, message
        self.field, self.expected, self.got, self.hint = field, expected, got, hint

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUSES[self.kind]


def stopping() -> Refusal:
    """Of a request that comes while the server stops."""
    return Refusal("overloaded", "this server is stopping.", hint="Send the request again, to another server.")


def cannot_store(error: Exception) -> Refusal:
    """Of a request whose result cannot be stored."""
    return Refusal("store", f"{error} Nothing was decided.", hint="Send the request again later.")


def internal(error: Exception) -> Refusal:
    """Of a request that met a fault of the server."""
    return Refusal("internal", f"{type(error).__name__} in the server.", hint="Send the request again; tell the operator.")
