"""The page of the holdback: what a served agent earns beyond its fallback, from lifetimes that chance gave to the fallback."""

import urllib.parse
from typing import Any

import numpy as np
from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.kept import Kept
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.serving.holdback import HoldbackLog, holdback_log
from quickstudy.serving.stores.store import Store

_MOST_KEPT = 16
_MOST_DECISIONS = 10_000
_DEFAULT_DECISIONS = 10
_MOST_POINTS = 100
_FEW = 30
"""Sessions of an arm below which the page says that an interval with Student's t may mislead."""


class HoldbackPages:
    """The page on the holdback of the sessions of a store.

    Args:
      store: with the sessions; it is only read.
      pages: makes pages.
    """

    def __init__(self, store: Store, pages: Pages):
        self._store, self._pages = store, pages
        self._kept = Kept[HoldbackLog | str](_MOST_KEPT)

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/sessions/holdback", answer=self._page),
            PageRoute(path="/sessions/holdback.csv", answer=self._csv),
        ]

    def _page(self, asked: Asked) -> Response:
        decisions, version = _asked_for(asked)
        log, wrong = self._log(asked, decisions, version)
        values: dict[str, Any] = {"decisions": decisions, "version": version, "wrong": wrong, "log": log, "uplift": None}
        if log is not None:
            try:
                values["uplift"] = log.uplift()
            except UsageError as error:
                values["wrong"] = str(error)
        values["few"] = _FEW
        values["link"] = urllib.parse.urlencode({"decisions": decisions, "version": version})
        return self._pages.page("holdback.html", here="sessions", title="Holdback", **values)

    def _csv(self, asked: Asked) -> Response:
        decisions, version = _asked_for(asked)
        log, wrong = self._log(asked, decisions, version)
        if log is None:
            raise UsageError(wrong)
        columns = ("mean", "95 % from", "95 % to")
        header = ["decision", *(f"{arm}: {word}" for arm in ("agent", "fallback") for word in columns)]
        points = np.unique(np.linspace(1, decisions, min(_MOST_POINTS, decisions)).round().astype(int)).tolist()
        rows = []
        for point in points:
            found = log.uplift(point)
            rows.append([point, *(x for one in (found.agent, found.fallback) for x in (one.value, one.low, one.high))])
        return csv_response(header, rows, name="holdback")

    def _log(self, asked: Asked, decisions: int, version: str) -> tuple[HoldbackLog | None, str]:
        """What the uplift rests on, or why there is nothing. It is kept until the sessions change."""
        heads = tuple(sorted((shard, link.seq) for shard, link in self._store.heads().items()))
        tenant = asked.caller.tenant
        found = self._kept.answer((decisions, version, tenant, heads), lambda: self._read(tenant, decisions, version))
        return (None, found) if isinstance(found, str) else (found, "")

    def _read(self, tenant: str, decisions: int, version: str) -> HoldbackLog | str:
        try:
            return holdback_log(self._store, tenant=tenant, decisions=decisions, agent=version or None)
        except QuickstudyError as error:
            return str(error)


def _asked_for(asked: Asked) -> tuple[int, str]:
    return asked.whole("decisions", default=_DEFAULT_DECISIONS, least=1, most=_MOST_DECISIONS), asked.one("version")[:64]
