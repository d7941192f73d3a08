"""Refusals as problem documents (RFC 9457)."""

from quickstudy.serving.http.asgi import Reply
from quickstudy.serving.http.bodies import ProblemBody, encoded
from quickstudy.serving.refusal import Refusal, internal
from quickstudy.serving.stores.store import StoreError

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    "invalid": "The request is not valid",
    "unauthorised": "A token is needed",
    "forbidden": "The token does not allow this",
    "unknown_session": "There is no such session",
    "unknown_decision": "There is no such decision",
    "not_found": "There is nothing here",
    "method": "This method is not allowed",
    "conflict": "The request contradicts what is known",
    "too_large": "The request is too large",
    "quota": "A limit is reached",
    "overloaded": "The server is busy",
    "store": "The store cannot be written",
    "internal": "The server failed",
}


def problem(refusal: Refusal) -> ProblemBody:
    """A refusal as a document."""
    texts = {
        name: None if value is None else str(value)
        for name in ("field", "expected", "got", "hint")
        for value in [getattr(refusal, name)]
    }
    return ProblemBody(
        type=f"urn:quickstudy:{refusal.kind}",
        title=_TITLES[refusal.kind],
        status=refusal.status,
        detail=refusal.message,
        **texts,
    )


def refused(refusal: Refusal, **headers: str) -> Reply:
    """The reply to a request that is refused."""
    more = dict(headers)
    if refusal.status in (429, 503):
        more["Retry-After"] = "1"
    if refusal.status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return Reply(encoded(problem(refusal)), refusal.status, MEDIA_TYPE, more)


def failed(error: Exception) -> Reply:
    """The reply to a request that met a fault of the server, or a store that fails."""
    if isinstance(error, StoreError):
        return refused(Refusal("store", str(error), hint="Send the request again later."))
    return refused(internal(error))
