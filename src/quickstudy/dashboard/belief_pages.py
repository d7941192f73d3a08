"""The page of beliefs: what an agent believed of a task along one lifetime, from the example that an evaluation keeps."""

import os
import urllib.parse
from pathlib import Path
from typing import Any

from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.evaluation.example_lifetime import FILE, ExampleLifetime
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import is_text

_DEPTH = 4
_MOST_FOUND = 2000
MIDDLE = 1.2816
"""Standard deviations on both sides of the mean that hold 80 % of a Gaussian belief."""


class BeliefPages:
    """Pages on the beliefs in stored example lifetimes.

    Args:
      folder: that holds runs.
      pages: makes pages.
    """

    def __init__(self, folder: Path, pages: Pages):
        self._folder, self._pages = folder, pages

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [PageRoute(path="/belief", answer=self._belief), PageRoute(path="/belief.csv", answer=self._csv)]

    def _belief(self, asked: Asked) -> Response:
        folders = self._folders()
        name = asked.one("folder") or next(iter(folders), None)
        values: dict[str, Any] = {
            "here": "belief",
            "title": "Belief",
            "folders": folders,
            "name": name,
            "root": str(self._folder),
        }
        if name is None:
            return self._pages.page("belief.html", **values)
        return self._pages.chosen(lambda: self._belief_of(name, folders, values), values)

    def _belief_of(self, name: str, folders: list[str], values: dict[str, Any]) -> Response:
        lifetime = self._lifetime(name, folders)
        return self._pages.page("belief.html", lifetime=lifetime, quoted=urllib.parse.quote(name), **values)

    def _csv(self, asked: Asked) -> Response:
        return lifetime_csv(self._lifetime(asked.one("folder"), self._folders()), asked.one("part"))

    def _lifetime(self, name: str, folders: list[str]) -> ExampleLifetime:
        if name not in folders:
            raise UsageError(f"there is no example lifetime in {name!r:.120}. Choose a folder that the page lists.")
        return ExampleLifetime.load(self._folder / name / FILE)

    def _folders(self) -> list[str]:
        found: list[str] = []
        for folder, inner, files in os.walk(self._folder):
            parts = Path(folder).relative_to(self._folder).parts
            inner[:] = sorted(
                one for one in inner if is_text(one) and not one.startswith(".") and one not in ("checkpoints", "pictures")
            )
            if len(parts) >= _DEPTH:
                inner.clear()
            if FILE in files and len(found) < _MOST_FOUND:
                found.append("/".join(parts) or ".")
        return found


def lifetime_csv(lifetime: ExampleLifetime, part: str) -> Response:
    """A part of a lifetime as a file.

    Args:
      lifetime: that is shown.
      part: `actions` for their probabilities, or the name of a belief.
    Raises:
      UsageError: the lifetime has no such part.
    """
    steps = [slot + 1 for slot in lifetime.slots]
    if part == "actions" and lifetime.probabilities:
        header = ["step", *(f"action {place}" for place in range(lifetime.choices))]
        rows = [[step, *row] for step, row in zip(steps, lifetime.probabilities, strict=True)]
        return csv_response(header, rows, name="probabilities")
    if part not in lifetime.beliefs:
        raise UsageError(f"this lifetime holds no belief named {part!r:.80}. Choose one on the page of the lifetime.")
    means, deviations = lifetime.beliefs[part], lifetime.deviations[part]
    header = ["step"]
    for place in range(len(means[0])):
        header += [f"{part} {place}: {word}" for word in ("mean", "10 %", "90 %")]
    rows = []
    for step, mean, deviation in zip(steps, means, deviations, strict=True):
        spread = [(m, m - MIDDLE * d, m + MIDDLE * d) for m, d in zip(mean, deviation, strict=True)]
        rows.append([step, *(x for three in spread for x in three)])
    return csv_response(header, rows, name="belief")
