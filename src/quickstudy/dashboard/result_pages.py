"""The pages of stored results: adaptation within a task, and generalisation from training tasks to others."""

import urllib.parse
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.drawings import small_multiples
from quickstudy.dashboard.moments import Moments, read_moments
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.dashboard.runs import MEASURES, RunCurve, Runs, binned
from quickstudy.dashboard.stored_evaluations import (
    AdaptationCurve,
    Measure,
    WorstTask,
    adaptation_curves,
    agent_of,
    folders_with_evaluations,
    raw_files,
    worst_tasks,
)
from quickstudy.dashboard.task_pages import TaskPages, chosen_parameters, map_of, worst_in_table
from quickstudy.evaluation.results import Evaluation
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word

_BINS = 200
_MOST_LINES = 1000
_WORST = 10
_ORDER = ("train", "test")


class ResultPages:
    """Pages on the results below a folder.

    Args:
      folder: that holds runs, or folders with evaluations.
      runs: the runs of the same folder, for their curves of training.
      tasks: pages on the tasks of the same evaluations.
      pages: makes pages.
    """

    def __init__(self, folder: Path, runs: Runs, tasks: TaskPages, pages: Pages):
        self._folder, self._runs, self._tasks, self._pages = folder, runs, tasks, pages

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/adaptation", answer=self._adaptation),
            PageRoute(path="/adaptation.csv", answer=self._adaptation_csv),
            PageRoute(path="/adaptation/training.csv", answer=self._moments_csv),
            PageRoute(path="/generalisation", answer=self._generalisation),
            PageRoute(path="/generalisation.csv", answer=self._training_csv),
            PageRoute(path="/generalisation/splits.csv", answer=self._splits_csv),
        ]

    def _adaptation(self, asked: Asked) -> Response:
        _, values = self._chosen(asked, "adaptation")
        return self._pages.chosen(lambda: self._adaptation_of(asked, values), values)

    def _adaptation_of(self, asked: Asked, values: dict[str, Any]) -> Response:
        run, measure = self._run(asked, values), _measure(asked)
        moments = None if run is None else self._moments(run, measure)
        last = 0 if moments is None else len(moments.trained_steps) - 1
        moment = asked.whole("moment", default=last, least=0, most=last)
        drawn = None if moments is None else _panels(moments, moment)
        values = values | {"run": run, "measure": measure, "moments": moments, "moment": moment, "drawn": drawn}
        values["link"] = urllib.parse.urlencode({"folder": run, "split": values["split"], "measure": measure})
        if values["name"] is None:
            return self._pages.page("adaptation.html", **values)
        evaluation, _, curves = self._curves(asked, values)
        return self._pages.page(
            "adaptation.html", evaluation=evaluation, curves=curves,
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

    def _moments_csv(self, asked: Asked) -> Response:
        _, values = self._chosen(asked, "adaptation")
        run, measure = self._run(asked, values), _measure(asked)
        moments = None if run is None else self._moments(run, measure)
        if moments is None:
            raise UsageError("this run holds no returns within a task from its training. Train again: quickstudy train.")
        header = ["step", *(f"after {steps:,} steps" for steps in moments.trained_steps)]
        rows = [[step, *row] for step, row in zip(moments.steps, moments.values.T.tolist(), strict=True)]
        return csv_response(header, rows, name=f"training-{measure}")

    def _run(self, asked: Asked, values: dict[str, Any]) -> str | None:
        """The folder whose training is shown: that of the results, or a run that was not measured yet."""
        asked_for = asked.one("folder")
        return values["name"] or (asked_for if asked_for in self._runs.names() else None)

    def _moments(self, name: str, measure: Measure) -> Moments | None:
        """The curves within a task during the training of a run; its ceiling is that of the evaluation on test tasks."""
        path, ceiling = self._folder / name / "evaluation-test.json", None
        if path.is_file() and (known := self._tasks.evaluation(name, "test").ceiling) is not None:
            ceiling = known.value
        return read_moments(self._folder / name, measure, ceiling=ceiling)

    def _generalisation(self, asked: Asked) -> Response:
        found, values = self._chosen(asked, "generalisation")
        return self._pages.chosen(lambda: self._generalisation_of(asked, found, values), values)

    def _generalisation_of(self, asked: Asked, found: dict[str, list[str]], values: dict[str, Any]) -> Response:
        name = values["name"]
        if name is None:
            return self._pages.page("generalisation.html", **values)
        splits = sorted(found[name], key=lambda split: (_ORDER.index(split) if split in _ORDER else 2, split))
        evaluations = [self._tasks.evaluation(name, split) for split in splits]
        rows = [(one, *agent_of(one)) for one in evaluations]
        worst = self._worst(name, evaluations)
        has_run = name in self._runs.names() and len(self._runs.curve(name, "held_out_return", most=_MOST_LINES).steps) > 0
        link = urllib.parse.urlencode({"folder": name})
        return self._pages.page(
            "generalisation.html", rows=rows, worst=worst, has_run=has_run, link=link, most=_WORST,
            **self._map(asked, name, splits), **values,
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
            evaluation = self._tasks.evaluation(values["name"], split)
            for name, result in evaluation.results.items():
                own, score = result.lifetime_return, result.normalised_score
                scores = [None] * 3 if score is None else [score.value, score.low, score.high]
                rows.append([evaluation.split, evaluation.tasks, name, own.value, own.low, own.high, *scores])
        return csv_response(header, rows, name="splits")

    def _worst(self, name: str, evaluations: list[Evaluation]) -> list[tuple[str, str, list[WorstTask], set[int], str]]:
        """The worst tasks of each split, with the name of the agent and the numbers of those whose lifetime is stored.

        Results of earlier versions have no table of tasks; then the raw returns tell, where they were stored.
        """
        folder, found = self._folder / name, []
        files = raw_files(folder)[:1]
        for evaluation in evaluations:
            agent, split = agent_of(evaluation)[0], evaluation.split
            baselines = [one for one, result in evaluation.results.items() if not result.trained and result.control is None]
            table, rows = self._tasks.table(name, split), list[WorstTask]()
            if table is not None:
                rows = worst_in_table(table, agent, baselines, most=_WORST)
            elif files:
                rows = worst_tasks(folder / files[0], split=split, agent=agent, baselines=baselines, most=_WORST)
            stored = self._tasks.lifetimes(name, split)
            links = set() if stored is None or stored.agent != agent else {int(number) for number in stored.lifetimes}
            if rows:
                found.append(
                    (evaluation.label, agent, rows, links, urllib.parse.urlencode({"folder": name, "split": file_word(split)}))
                )
        return found

    def _map(self, asked: Asked, name: str, splits: list[str]) -> dict[str, Any]:
        """The map of one split over two parameters of its tasks, and what can be chosen."""
        held = [split for split in splits if self._tasks.table(name, split) is not None]
        on = asked.one("on") if asked.one("on") in held else ("test" if "test" in held else next(iter(held), ""))
        table = self._tasks.table(name, on) if on else None
        chosen = None if table is None else chosen_parameters(asked, table)
        if table is None or chosen is None:
            return {"map": None, "held": held, "tabled": table is not None}
        agent = agent_of(self._tasks.evaluation(name, on))[0]
        link = urllib.parse.urlencode({"folder": name, "split": on, "across": chosen[0], "up": chosen[1]})
        return {
            "map": map_of(table, agent, chosen), "held": held, "on": on, "chosen": chosen, "map_link": link, "tabled": True,
            "parameters": list(table.parameters), "map_agent": agent, "ranged": all(x in table.training_range for x in chosen),
        }  # fmt: skip

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
            "title": here.capitalize(),
            "root": root,
            "folders": list(found),
            "name": name,
            "splits": splits,
            "split": split,
        }
        return found, values

    def _curves(self, asked: Asked, values: dict[str, Any]) -> tuple[Evaluation, Measure, list[AdaptationCurve]]:
        if values["name"] is None:
            raise UsageError("there are no results here. Measure a run first: quickstudy evaluate RUN.")
        evaluation = self._tasks.evaluation(values["name"], values["split"])
        measure = _measure(asked)
        return evaluation, measure, adaptation_curves(evaluation, measure)


def _measure(asked: Asked) -> Measure:
    return "regret" if asked.one("measure") == "regret" else "return"


def _panels(moments: Moments, chosen: int) -> Markup:
    """A small panel with the curve of each moment."""
    titles = [f"after {steps:,} steps" for steps in moments.trained_steps]
    axis = f"{moments.measure} so far (reward units)"
    return small_multiples(moments.steps, moments.values, titles, chosen=chosen, axis=axis)
