"""The pages of runs: the list, one run while it trains, and the comparison of many."""

import asyncio
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from starlette.responses import Response, StreamingResponse

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.kept import stamp_of
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.dashboard.runs import MEASURES, Runs, RunState, binned, comparable
from quickstudy.protocol.errors import UsageError

MOST_COMPARED = 200
BINS = 200
_MOST_LINES = 1000
_MOST_LINES_IN_ALL = 20_000
_LOOK_SECONDS = 0.5
_STATES = ("running", "finished", "interrupted", "on another machine", "damaged")


class RunPages:
    """Pages on the runs of a folder.

    Args:
      runs: that are shown.
      pages: makes pages.
    """

    def __init__(self, runs: Runs, pages: Pages):
        self._runs, self._pages = runs, pages

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/runs", answer=self._list),
            PageRoute(path="/runs/one", answer=self._one),
            PageRoute(path="/runs/one.csv", answer=self._one_csv),
            PageRoute(path="/runs/one/events", answer=self._events),
            PageRoute(path="/runs/compare", answer=self._compare),
            PageRoute(path="/runs/compare.csv", answer=self._compare_csv),
        ]

    def _list(self, asked: Asked) -> Response:
        search, state = asked.one("search"), asked.one("state")
        states = self._runs.states()
        words = search.lower().split()
        shown = [one for one in states if _matches(one, words) and state in ("", one.state)]
        values: dict[str, Any] = {
            "here": "runs",
            "folder": str(self._runs.folder),
            "all": len(states),
            "runs": shown,
            "search": search,
        }
        values |= {"state": state, "states": _STATES, "most": MOST_COMPARED}
        if asked.partial:
            return self._pages.part("runs.html", "listed", **values)
        return self._pages.page("runs.html", title="Runs", **values)

    def _one(self, asked: Asked) -> Response:
        name = asked.one("name")
        folder = self._runs.folder_of(name)
        state, quoted = self._runs.state(name), urllib.parse.quote(name)
        values: dict[str, Any] = {"here": "runs", "run": state, "quoted": quoted, "folder": str(folder)}
        if asked.partial:
            return self._pages.part("run.html", "state", **values)
        description = {} if state.state == "damaged" else self._runs.description(name)
        curves = {measure: self._runs.curve(name, measure, most=_MOST_LINES) for measure in MEASURES}
        charts = [(measure, words) for measure, words in MEASURES.items() if len(curves[measure].steps)]
        return self._pages.page(
            "run.html", title=name, command=description.get("command"), charts=charts, settings=_settings(description), **values
        )

    def _one_csv(self, asked: Asked) -> Response:
        name, measure = asked.one("name"), _measure(asked)
        self._runs.folder_of(name)
        curve = self._runs.curve(name, measure, most=_MOST_LINES)
        seeds = curve.values.shape[1]
        header = ["steps", "mean over seeds", *(f"seed {number}" for number in range(seeds) if seeds > 1)]
        means = curve.values.mean(axis=1).tolist() if seeds else []
        own = curve.values.tolist() if seeds > 1 else [[] for _ in means]
        rows = [[step, mean, *row] for step, mean, row in zip(curve.steps.tolist(), means, own, strict=True)]
        return csv_response(header, rows, name=measure)

    def _events(self, asked: Asked) -> Response:
        name = asked.one("name")
        path = self._runs.folder_of(name) / "metrics.jsonl"
        return event_stream(lambda: stamp_of(path))

    def _compare(self, asked: Asked) -> Response:
        measure = _measure(asked)
        groups = self._groups(asked)
        chosen = urllib.parse.urlencode([("run", name) for name in asked.query.get("run", ())])
        left_out = sum(max(0, len(group) - MOST_COMPARED) for group in groups)
        return self._pages.page(
            "compare.html", here="runs", title="Comparison of runs", measure=measure, measures=MEASURES, chosen=chosen,
            groups=[group[:MOST_COMPARED] for group in groups], left_out=left_out, bins=BINS,
            names=asked.query.get("run", ()), folder=str(self._runs.folder),
        )  # fmt: skip

    def _compare_csv(self, asked: Asked) -> Response:
        groups, measure = self._groups(asked), _measure(asked)
        place = asked.whole("group", default=0, least=0, most=max(0, len(groups) - 1))
        group = groups[place][:MOST_COMPARED] if groups else []
        most = min(_MOST_LINES, _MOST_LINES_IN_ALL // max(1, len(group)))
        edges, means = binned([self._runs.curve(one.name, measure, most=most) for one in group], bins=BINS)
        rows = [[edge, *row] for edge, row in zip(np.round(edges).tolist(), means.tolist(), strict=True)]
        return csv_response(["steps", *(one.name for one in group)], rows, name=f"comparison-{measure}")

    def _groups(self, asked: Asked) -> list[list[RunState]]:
        """The runs that are compared, in groups of the same tasks; those that were named, or all."""
        names, wanted = self._runs.names(), asked.query.get("run")
        unknown = sorted(set(wanted or ()) - set(names))
        if unknown:
            raise UsageError(f"there is no run {unknown[0]!r:.120}. The page of runs lists those that there are.")
        return comparable([self._runs.state(name) for name in names if not wanted or name in wanted])


def event_stream(stamp: Callable[[], Any]) -> Response:
    """Server-sent events: `changed` whenever what a function gives has changed. The function runs in a thread.

    Args:
      stamp: gives what is compared, such as the size of a file.
    """

    async def events() -> AsyncIterator[str]:
        before = await asyncio.to_thread(stamp)
        yield "retry: 2000\n\n"
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = await asyncio.to_thread(stamp)
            # A line of comment is sent where nothing changed, so that a browser that has gone away is noticed.
            yield ": nothing new\n\n" if now == before else "event: changed\ndata: now\n\n"
            before = now

    return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _measure(asked: Asked) -> str:
    measure = asked.one("measure", "held_out_return")
    if measure not in MEASURES:
        raise UsageError(f"measure must be one of {', '.join(MEASURES)}; came {measure!r:.80}. Correct the address.")
    return measure


def _matches(run: RunState, words: list[str]) -> bool:
    text = f"{run.name} {run.algorithm} {run.distribution}".lower()
    return all(word in text for word in words)


def _settings(description: dict[str, Any]) -> list[tuple[str, Any]]:
    """Settings of the tasks, the training and the algorithm, as they were resolved."""
    parts = [description.get(part) for part in ("distribution", "training", "algorithm")]
    found: list[tuple[str, Any]] = []
    for part in parts:
        held = part.get("config", part) if isinstance(part, dict) else {}
        found += [(str(name), value) for name, value in held.items()] if isinstance(held, dict) else []
    return found
