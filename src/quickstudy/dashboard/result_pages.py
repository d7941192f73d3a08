"""The pages of stored results: adaptation within a task, and generalisation from training tasks to others."""

import functools
import urllib.parse
from pathlib import Path
from typing import Any, Literal

from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.dashboard.runs import MEASURES, RunCurve, Runs, binned
from quickstudy.dashboard.stored_evaluations import (
    AdaptationCurve,
    adaptation_curves,
    folders_with_evaluations,
    raw_files,
    worst_tasks,
)
from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.protocol.errors import UsageError

_BINS = 200
_MOST_LINES = 1000
_WORST = 10
_ORDER = ("train", "test")


class ResultPages:
    """Pages on the results below a folder.

    Args:
      folder: that holds runs, or folders with evaluations.
      runs: the runs of the same folder, for their curves of training.
      pages: makes pages.
    """

    def __init__(self, folder: Path, runs: Runs, pages: Pages):
        self._folder, self._runs, self._pages = folder, runs, pages

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/adaptation", answer=self._adaptation),
            PageRoute(path="/adaptation.csv", answer=self._adaptation_csv),
            PageRoute(path="/generalisation", answer=self._generalisation),
            PageRoute(path="/generalisation.csv", answer=self._training_csv),
            PageRoute(path="/generalisation/splits.csv", answer=self._splits_csv),
        ]

    def _adaptation(self, asked: Asked) -> Response:
        _, values = self._chosen(asked, "adaptation")
        if values["name"] is None:
            return self._pages.page("adaptation.html", title="Adaptation", **values)
        evaluation, measure, curves = self._curves(asked, values)
        link = urllib.parse.urlencode({"folder": values["name"], "split": values["split"], "measure": measure})
        return self._pages.page(
            "adaptation.html", title="Adaptation", evaluation=evaluation, measure=measure, curves=curves, link=link,
            banded=any(one.kind == "band" for one in curves), known=evaluation.ceiling is not None, **values,
        )  # fmt: skip

    def _adaptation_csv(self, asked: Asked) -> Response:
        _, values = self._chosen(asked, "adaptation")
        _, measure, curves = self._curves(asked, values)
        header, columns = ["step"], []
        for one in curves:
            words = ("median", "10 %", "90 %") if one.kind == "band" else ("mean", "95 % from", "95 % to")
            header += [f"{one.name}: {word}" for word in words]
            columns += [one.middle, one.low, one.high]
        steps = curves[0].steps if curves else ()
        return csv_response(header, list(zip(steps, *columns, strict=True)), name=f"adaptation-{measure}")

    def _generalisation(self, asked: Asked) -> Response:
        found, values = self._chosen(asked, "generalisation")
        name = values["name"]
        if name is None:
            return self._pages.page("generalisation.html", title="Generalisation", **values)
        splits = sorted(found[name], key=lambda split: (_ORDER.index(split) if split in _ORDER else 2, split))
        evaluations = [self._load(name, split) for split in splits]
        rows = [(one, *_agent_of(one)) for one in evaluations]
        worst = self._worst(name, evaluations)
        has_run = name in self._runs.names() and len(self._runs.curve(name, "held_out_return", most=_MOST_LINES).steps) > 0
        link = urllib.parse.urlencode({"folder": name})
        return self._pages.page(
            "generalisation.html", title="Generalisation", rows=rows, worst=worst, has_run=has_run, link=link, most=_WORST,
            **values,
        )  # fmt: skip

    def _training_csv(self, asked: Asked) -> Response:
        _, values = self._chosen(asked, "generalisation")
        name = values["name"]
        known = name is not None and name in self._runs.names()
        curves: list[RunCurve] = []
        if known:
            curves = [self._runs.curve(name, measure, most=_MOST_LINES) for measure in ("train_return", "held_out_return")]
        edges, means = binned(curves, bins=_BINS)
        header = ["steps", *(MEASURES[measure] for measure in ("train_return", "held_out_return"))]
        return csv_response(
            header, [[edge, *row] for edge, row in zip(edges.tolist(), means.tolist(), strict=True)], name="gap"
        )

    def _splits_csv(self, asked: Asked) -> Response:
        found, values = self._chosen(asked, "generalisation")
        header = ["split", "tasks", "agent", "return (reward units)", "95 % from", "95 % to", "score", "95 % from", "95 % to"]
        rows = []
        for split in found.get(values["name"], []):
            evaluation = self._load(values["name"], split)
            for name, result in evaluation.results.items():
                own, score = result.lifetime_return, result.normalised_score
                scores = [None] * 3 if score is None else [score.value, score.low, score.high]
                rows.append([evaluation.split, evaluation.tasks, name, own.value, own.low, own.high, *scores])
        return csv_response(header, rows, name="splits")

    def _worst(self, name: str, evaluations: list[Evaluation]) -> list[tuple[str, str, list]]:
        """The worst tasks of each split, with the name of the agent; nothing where there are no raw returns."""
        folder, found = self._folder / name, []
        for file in raw_files(folder)[:1]:
            for evaluation in evaluations:
                agent, _ = _agent_of(evaluation)
                baselines = [one for one, result in evaluation.results.items() if not result.trained and result.control is None]
                rows = worst_tasks(folder / file, split=evaluation.split, agent=agent, baselines=baselines, most=_WORST)
                if rows:
                    found.append((evaluation.label, agent, rows))
        return found

    def _chosen(self, asked: Asked, here: str) -> tuple[dict[str, list[str]], dict[str, Any]]:
        """The folders with evaluations, and what is chosen of them."""
        found = folders_with_evaluations(self._folder)
        root, name = str(self._folder), asked.one("folder") or next(iter(found), None)
        if name is not None and name not in found:
            root, name = f"{root}/{name}", None  # a run that was not measured yet
        splits = found.get(name, []) if name is not None else []
        split = asked.one("split") or ("test" if "test" in splits else next(iter(splits), ""))
        if splits and split not in splits:
            split = splits[0]
        values = {
            "here": here,
            "root": root,
            "folders": list(found),
            "name": name,
            "splits": splits,
            "split": split,
        }
        return found, values

    def _load(self, name: str, split: str) -> Evaluation:
        path = self._folder / name / f"evaluation-{split}.json"
        found = path.stat()
        return _loaded(path, found.st_mtime_ns, found.st_size)

    def _curves(
        self, asked: Asked, values: dict[str, Any]
    ) -> tuple[Evaluation, Literal["return", "regret"], list[AdaptationCurve]]:
        if values["name"] is None:
            raise UsageError("there are no results here. Measure a run first: quickstudy evaluate RUN.")
        evaluation = self._load(values["name"], values["split"])
        measure: Literal["return", "regret"] = "regret" if asked.one("measure") == "regret" else "return"
        return evaluation, measure, adaptation_curves(evaluation, measure)


@functools.lru_cache(maxsize=32)
def _loaded(path: Path, changed: int, size: int) -> Evaluation:
    """An evaluation, read again only if its file has changed."""
    del changed, size
    return Evaluation.load(path)


def _agent_of(evaluation: Evaluation) -> tuple[str, Result]:
    """The first trained contender that is no control, else the reference."""
    name = next((name for name, one in evaluation.results.items() if one.trained and one.control is None), evaluation.reference)
    return name, evaluation.results[name]
