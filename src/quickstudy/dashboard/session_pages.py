"""The pages of live sessions: the list, one session, and what an operator may change."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.fallbacks import Fallbacks
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.dashboard.run_pages import event_stream
from quickstudy.dashboard.session_log import SessionLog, session_log
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.client import Client
from quickstudy.serving.counterfactual import FallbackChoice
from quickstudy.serving.heads import head_of
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import Store

ROWS = 50
_MOST_DECISIONS = 200
_MOST_POINTS = 2000
_MOST_SEARCH = 128
CHANGES = {
    "freeze": ("Freeze", "The session goes on to act, and stops to adapt. Rewards that come meanwhile are not learned from."),
    "thaw": ("Thaw", "The session adapts again."),
    "rollback": ("Roll back", "The session becomes as it was after its first events. What followed them does not count."),
    "fork": ("Fork", "Another session is opened, with the same past and the same memory."),
}
"""What can be changed: a word for the button, and what it does."""


class SessionPages:
    """Pages on the sessions of a store.

    Args:
      store: with the sessions; it is only read.
      pages: makes pages.
      server: address of the server of these sessions, which makes the changes; None where nothing can be changed.
      fallbacks: tells what a fallback would have done.
    """

    def __init__(self, store: Store, pages: Pages, *, server: str | None, fallbacks: Fallbacks):
        self._store, self._pages, self._server, self._fallbacks = store, pages, server, fallbacks

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/sessions", answer=self._list),
            PageRoute(path="/sessions/one", answer=self._one, scope="admin"),
            PageRoute(path="/sessions/one.csv", answer=self._one_csv, scope="admin"),
            PageRoute(path="/sessions/one/events", answer=self._events, scope="admin"),
            PageRoute(path="/sessions/change", answer=self._confirm, scope="admin"),
            PageRoute(path="/sessions/change", answer=self._change, scope="admin", method="POST"),
        ]

    def _list(self, asked: Asked) -> Response:
        search, after = asked.one("search")[:_MOST_SEARCH], asked.one("after")
        found = self._store.listed(asked.caller.tenant, after=after, limit=ROWS + 1, holding=search)
        shown = found[:ROWS]
        stored = self._store.load([SessionName(asked.caller.tenant, one.session) for one in shown])
        heads = {name.session: head_of(one.state) for name, one in stored.items()}
        rows = [(one, heads[one.session]) for one in shown if one.session in heads]
        following = urllib.parse.urlencode({"search": search, "after": shown[-1].session}) if len(found) > ROWS else None
        values: dict[str, Any] = {"here": "sessions", "rows": rows, "search": search, "after": after, "following": following}
        values["all"] = self._store.counts().get(asked.caller.tenant, 0)
        if asked.partial:
            return self._pages.part("sessions.html", "listed", **values)
        return self._pages.page("sessions.html", title="Sessions", **values)

    def _one(self, asked: Asked) -> Response:
        log = self._log(asked)
        newest = log.decisions[::-1]
        values: dict[str, Any] = {
            "here": "sessions", "log": log, "newest": newest[:_MOST_DECISIONS], "more": max(0, len(newest) - _MOST_DECISIONS),
            "quoted": urllib.parse.quote(log.name.session), "can_change": self._server is not None,
            "late": sum(row.late for row in log.decisions), "unknown": sum(not row.rewards for row in log.decisions),
            "surprises": sorted({name for row in log.decisions for name in row.surprise}),
            "guarded": any(row.guard is not None for row in log.decisions), "fallback": self._fallback(asked, log),
            "done": asked.one("done"), "changes": CHANGES,
        }  # fmt: skip
        if asked.partial:
            return self._pages.part("session.html", "state", "decisions", **values)
        return self._pages.page("session.html", title=f"Session {log.name.session}", **values)

    def _one_csv(self, asked: Asked) -> Response:
        log = self._log(asked)
        measure = asked.one("measure", "all")
        rows = [row for row in log.decisions if not row.undone]
        number = range(1, len(rows) + 1)
        if measure == "reward":
            columns: dict[str, list] = {"reward": [sum(row.rewards) if row.rewards else None for row in rows]}
        elif measure == "propensity":
            columns = {"propensity": [row.propensity for row in rows]}
        elif measure == "surprise":
            names = sorted({name for row in rows for name in row.surprise})
            columns = {name: [row.surprise.get(name) for row in rows] for name in names}
            if log.surprise_below is not None:
                columns["surprised below"] = [log.surprise_below] * len(rows)
        elif measure == "all":
            return _whole_table(log, self._fallback(asked, log))
        else:
            raise UsageError(f"measure must be reward, propensity, surprise or all; came {measure!r:.80}. Correct the address.")
        table = list(zip(number, *columns.values(), strict=True))[-_MOST_POINTS:]
        return csv_response(["decision", *columns], table, name=f"session-{measure}")

    def _events(self, asked: Asked) -> Response:
        name = self._name(asked.caller.tenant, asked.one("name"))

        def version() -> int | None:
            stored = self._store.load([name]).get(name)
            return None if stored is None else stored.version

        return event_stream(version)

    def _confirm(self, asked: Asked) -> Response:
        log, change = self._log(asked), _checked_change(asked.one("change"))
        label, does = CHANGES[change]
        return self._pages.page(
            "confirm.html", here="sessions", title=f"{label} session {log.name.session}?", log=log, change=change, label=label,
            does=does, quoted=urllib.parse.quote(log.name.session),
        )  # fmt: skip

    def _change(self, asked: Asked) -> Response:
        change, session = _checked_change(asked.form.get("change", "")), asked.form.get("name", "")
        if self._server is None:
            raise UsageError("this dashboard cannot change sessions. Start it with --server and the address of their server.")
        self._name(asked.caller.tenant, session)
        client = Client(self._server, token=asked.token, tries=1)
        shown = session
        if change == "freeze":
            client.freeze(session)
        elif change == "thaw":
            client.thaw(session)
        elif change == "rollback":
            client.rollback(session, events=_whole(asked.form, "events"))
        else:
            shown = asked.form.get("fork", "").strip()
            client.fork(session, name=shown, events=_whole(asked.form, "events"))
        return RedirectResponse("/sessions/one?" + urllib.parse.urlencode({"name": shown, "done": change}), 303)

    def _log(self, asked: Asked) -> SessionLog:
        name = SessionName(asked.caller.tenant, asked.one("name"))
        found = session_log(self._store, name)
        if found is None:
            raise _no_session(name.session)
        return found

    def _fallback(self, asked: Asked, log: SessionLog) -> Mapping[str, FallbackChoice] | str | None:
        """What the fallback would have done, by decision, or why that is not known; None where it was not asked for."""
        return self._fallbacks.choices(log.name) if asked.one("fallback") == "yes" else None

    def _name(self, tenant: str, session: str) -> SessionName:
        name = SessionName(tenant, session)
        if name not in self._store.load([name]):
            raise _no_session(session)
        return name


def _whole_table(log: SessionLog, fallback: Mapping[str, FallbackChoice] | str | None) -> Response:
    header = ["event", "time (UTC seconds)", "decision", "slot", "observation", "action", "propensity", "rewards"]
    header += ["seconds to first reward", "late", "window ended", "undone", "guard acted", "guard reason"]
    rows = [
        [row.number, f"{row.at:.3f}", row.decision_id, row.slot, row.observation, row.action, row.propensity,
         "; ".join(map(repr, row.rewards)), row.waited_seconds, row.late, row.lapsed, row.undone,
         row.guard["acted"] if row.guard else None, row.guard["why"] if row.guard else None]
        for row in log.decisions
    ]  # fmt: skip
    if isinstance(fallback, Mapping):
        header += ["fallback action", "fallback propensity"]
        for row, decision in zip(rows, log.decisions, strict=True):
            choice = None if decision.undone else fallback.get(decision.decision_id)
            row += [None, None] if choice is None else [str(choice.action), choice.propensity]
    return csv_response(header, rows, name="session")


def _checked_change(change: str) -> str:
    if change not in CHANGES:
        raise UsageError(f"a change is one of {', '.join(CHANGES)}; came {change!r:.80}. Go back to the page of the session.")
    return change


def _whole(form: Any, field: str) -> int:
    text = form.get(field, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise UsageError(f"{field} must be a whole number of 1 or more; came {text!r:.40}. Go back and correct it.")
    return int(text)


def _no_session(session: str) -> Refusal:
    return Refusal("unknown_session", f"there is no session {session!r:.140}.", hint="The page of sessions lists them.")
