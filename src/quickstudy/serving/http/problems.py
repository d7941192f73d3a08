"""Refusals as problem documents (RFC 9457)."""

from typing import Any

from starlette.responses import Response

from quickstudy.serving.http.bodies import ProblemBody, encoded
from quickstudy.serving.refusal import Refusal

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


def refused(refusal: Refusal, **headers: str) -> Response:
    """The response to a request that is refused."""
    more: dict[str, Any] = dict(headers)
    if refusal.status in (429, 503):
        more["Retry-After"] = "1"
    if refusal.status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return Response(encoded(problem(refusal)), refusal.status, headers=more, media_type=MEDIA_TYPE)
