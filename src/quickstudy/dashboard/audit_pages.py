"""The pages of the audit: what was decided and why, and whether the log is whole."""

import json
import re
import time
from typing import Any

from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.serving.audit import Verified, decision_report, verify
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import Store

_MOST_SESSIONS = 50


class AuditPages:
    """Pages on the audit of a store.

    Args:
      store: with the log; it is only read.
      pages: makes pages.
    """

    def __init__(self, store: Store, pages: Pages):
        self._store, self._pages = store, pages
        self._verified: tuple[Verified, float, float] | None = None

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/audit", answer=self._audit, scope="admin"),
            PageRoute(path="/audit/verify", answer=self._verify, scope="admin", method="POST"),
            PageRoute(path="/audit/heads.csv", answer=self._heads, scope="admin"),
            PageRoute(path="/audit/decision.json", answer=self._json, scope="admin"),
        ]

    def _audit(self, asked: Asked) -> Response:
        return self._shown(asked)

    def _verify(self, asked: Asked) -> Response:
        began = time.time()
        self._verified = (verify(self._store), began, time.time() - began)
        return self._shown(asked)

    def _shown(self, asked: Asked) -> Response:
        # Faults name sessions of every tenant, so a caller that signed in for one tenant is told their number alone.
        decision, session, tenant = asked.one("decision"), asked.one("session"), asked.caller.tenant
        sessions = [session] if session else []
        if decision and not session:
            sessions = self._store.deciding(tenant, decision, limit=_MOST_SESSIONS)
        report: dict[str, Any] | None = None
        if decision and len(sessions) == 1 and self._store.events(SessionName(tenant, sessions[0]), decision_id=decision):
            report = decision_report(self._store, SessionName(tenant, sessions[0]), decision)
        links = sorted(self._store.heads().items())
        return self._pages.page(
            "audit.html", here="audit", title="Audit", links=links, verified=self._verified, decision=decision,
            session=session, sessions=sessions, report=report, most=_MOST_SESSIONS,
            tells=not asked.caller.token_id, events=[] if report is None else [_row(event) for event in report["events"]],
        )  # fmt: skip

    def _heads(self, asked: Asked) -> Response:
        del asked
        rows = [[shard, link.seq, link.value.hex()] for shard, link in sorted(self._store.heads().items())]
        return csv_response(["shard", "last link", "value"], rows, name="heads")

    def _json(self, asked: Asked) -> Response:
        name = SessionName(asked.caller.tenant, asked.one("session"))
        report = decision_report(self._store, name, asked.one("decision"))
        return Response(json.dumps(report, indent=2), media_type="application/json")


def _row(event: dict[str, Any]) -> dict[str, Any]:
    """An event of a report in the parts that a table has."""
    apart = ("number", "kind", "at", "chain", "decision_id", "successor")  # the successor is in words; the JSON file has it
    fields: list[tuple[str, str]] = []
    for name, value in event.items():
        if name not in apart and value not in (None, ""):
            parts = value if isinstance(value, dict) else {"": value}
            fields += [(_words(name, part), json.dumps(inner)) for part, inner in parts.items()]
    return {name: event.get(name) for name in apart} | {"fields": fields}


def _words(name: str, path: str) -> str:
    """The name of a number of a decision: `decision guard reason` for the leaf `extras['guard']['reason']`."""
    return " ".join([name, *(part for part in re.split(r"[\[\]'.]+", path) if part not in ("", "extras"))])
