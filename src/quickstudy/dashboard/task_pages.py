"""Tasks of an evaluation: a map of returns over two parameters, the worst tasks, and the lifetime on one of them."""

import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from starlette.responses import FileResponse, Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.belief_pages import lifetime_csv
from quickstudy.dashboard.drawings import Bins, binned_tasks, task_map
from quickstudy.dashboard.kept import KeptFiles
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.dashboard.stored_evaluations import WorstTask, agent_of, folders_with_evaluations
from quickstudy.evaluation.example_lifetime import ExampleLifetime
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.task_table import TaskTable, table_path
from quickstudy.evaluation.worst_lifetimes import WorstLifetimes, lifetimes_path
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word, printable, shell_word

_MOST_BINS = 12
_MOST_FILES = 64
_VIDEOS = "videos"


class TaskPages:
    """Pages on the tasks of stored evaluations.

    Args:
      folder: that holds runs, or folders with evaluations.
      pages: makes pages.
    """

    def __init__(self, folder: Path, pages: Pages):
        self._folder, self._pages = folder, pages
        self._files = KeptFiles(_MOST_FILES)

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/generalisation/map.csv", answer=self._map_csv),
            PageRoute(path="/generalisation/lifetime", answer=self._lifetime),
            PageRoute(path="/generalisation/lifetime.csv", answer=self._lifetime_csv),
            PageRoute(path="/generalisation/strip.png", answer=self._strip),
        ]

    def _map_csv(self, asked: Asked) -> Response:
        name, split = self._split(asked)
        evaluation, table = self.evaluation(name, split), self.table(name, split)
        chosen = None if table is None else chosen_parameters(asked, table)
        if table is None or chosen is None:
            raise UsageError("there is no map of these tasks. Evaluate again: quickstudy evaluate RUN --splits train test.")
        found = _bins(table, printable(agent_of(evaluation)[0]), chosen)
        header = [f"{one} {word}" for one in chosen for word in ("from", "to")] + ["tasks", "mean return (reward units)"]
        rows = []
        for i, j in zip(*np.nonzero(found.counts), strict=True):
            ends = [float(edge[at]) for edge, place in zip(found.edges, (i, j), strict=True) for at in (place, place + 1)]
            rows.append([*ends, int(found.counts[i, j]), float(found.means[i, j])])
        return csv_response(header, rows, name="map")

    def _lifetime(self, asked: Asked) -> Response:
        name, split = self._split(asked)
        stored, number = self._stored(asked, name, split)
        lifetime, table = stored.lifetimes[number], self.table(name, split)
        link = urllib.parse.urlencode({"folder": name, "split": split, "task": number})
        video = ["quickstudy", "video", self._folder / name, "--split", stored.split, "--task", number]
        video += ["--tasks", stored.tasks, "--seed", stored.seed, "--folder", self._strip_path(name, split, number).parent]
        return self._pages.page(
            "lifetime.html", here="generalisation", title=f"Task {number} of {stored.split}", split=stored.split, number=number,
            lifetime=lifetime, link=link, back=urllib.parse.urlencode({"folder": name}), rows=_rows(lifetime),
            strip=self._strip_path(name, split, number).is_file(), pictures=table is not None and table.pictures,
            command=" ".join(map(shell_word, video)),
        )  # fmt: skip

    def _lifetime_csv(self, asked: Asked) -> Response:
        name, split = self._split(asked)
        stored, number = self._stored(asked, name, split)
        lifetime, part = stored.lifetimes[number], asked.one("part", "steps")
        if part == "return":
            so_far = np.cumsum(lifetime.rewards).tolist()
            steps = [slot + 1 for slot in lifetime.slots]
            return csv_response(["step", "return so far"], list(zip(steps, so_far, strict=True)), name="return")
        if part == "steps":
            numbers = [f"action {place}" for place in range(len(lifetime.actions[0]))]
            rows = [[row["step"], row["episode"], *row["action"], row["reward"], row["so_far"]] for row in _rows(lifetime)]
            return csv_response(["step", "episode", *numbers, "reward", "return so far"], rows, name="lifetime")
        return lifetime_csv(lifetime, part)

    def _strip(self, asked: Asked) -> Response:
        name, split = self._split(asked)
        path = self._strip_path(name, split, self._stored(asked, name, split)[1])
        if not path.is_file():
            raise UsageError("there are no pictures of this task. The page of the lifetime has the command that makes them.")
        return FileResponse(path, media_type="image/png")

    def _strip_path(self, name: str, split: str, number: str) -> Path:
        return self._folder / name / _VIDEOS / f"{file_word(split)}-{number}" / "adaptation.png"

    def _stored(self, asked: Asked, name: str, split: str) -> tuple[WorstLifetimes, str]:
        """The lifetimes that a split keeps, and the number of the task that was asked for."""
        stored, number = self.lifetimes(name, split), asked.one("task")
        if stored is None or number not in stored.lifetimes:
            raise UsageError(
                f"no lifetime on task {number!r:.20} of {split} is stored. The page of generalisation lists those that are. "
                f"This command stores them: quickstudy evaluate {shell_word(self._folder / name)} "
                f"--splits {shell_word(self.evaluation(name, split).split)}."
            )
        return stored, number

    def _split(self, asked: Asked) -> tuple[str, str]:
        """A folder that has results, and one of its splits."""
        found = folders_with_evaluations(self._folder)
        name, split = asked.one("folder"), asked.one("split")
        if name not in found or split not in found[name]:
            raise UsageError(f"there are no results of {split!r:.80} in {name!r:.120}. Choose a folder that the page lists.")
        return name, split

    def evaluation(self, name: str, split: str) -> Evaluation:
        """The evaluation of a split in a folder; read again only if its file has changed."""
        path = self._folder / name / f"evaluation-{file_word(split)}.json"
        return self._files.read(path, Evaluation.load, path)

    def table(self, name: str, split: str) -> TaskTable | None:
        """The tasks of an evaluation; None where an earlier version has stored it, or they are those of another agent."""
        path = table_path(self._folder / name, split)
        if not path.is_file():
            return None
        found = self._files.read(path, TaskTable.load, path)
        return found if printable(agent_of(self.evaluation(name, split))[0]) in found.returns else None

    def lifetimes(self, name: str, split: str) -> WorstLifetimes | None:
        """The lifetimes on the worst tasks; None where there are none."""
        path = lifetimes_path(self._folder / name, split)
        return self._files.read(path, WorstLifetimes.load, path) if path.is_file() else None


def chosen_parameters(asked: Asked, table: TaskTable) -> tuple[str, str] | None:
    """The two parameters of a map that was asked for, else the first two; None where tasks have fewer than two."""
    names = list(table.parameters)
    if len(names) < 2:
        return None
    first = asked.one("across") if asked.one("across") in names else names[0]
    second = asked.one("up") if asked.one("up") in names else names[1]
    return first, second if second != first else next(name for name in names if name != first)


def map_of(table: TaskTable, agent: str, chosen: tuple[str, str]) -> Markup:
    """The map of an agent's returns as a drawing.

    Args:
      table: of the tasks.
      agent: name of the contender.
      chosen: names of the two parameters.
    """
    ranges = (table.training_range.get(chosen[0]), table.training_range.get(chosen[1]))
    return task_map(_bins(table, printable(agent), chosen), names=chosen, measure="mean return (reward units)", ranges=ranges)


def worst_in_table(table: TaskTable, agent: str, baselines: list[str], *, most: int) -> list[WorstTask]:
    """The tasks on which an agent has its lowest returns, lowest first.

    Args:
      table: of the tasks.
      agent: name of the contender.
      baselines: that the returns are compared with.
      most: how many.
    """
    others = {name: table.returns[printable(name)] for name in baselines if printable(name) in table.returns}
    rows = []
    for task in table.worst(printable(agent), most=most):
        best = max(others, key=lambda name, task=task: others[name][task], default="")  # type: ignore[misc]
        own = table.returns[printable(agent)][task]
        rows.append(WorstTask(task=task, own=own, best_name=best, best=others[best][task] if best else None))
    return rows


def _bins(table: TaskTable, agent: str, chosen: tuple[str, str]) -> Bins:
    first, second = (np.asarray(table.parameters[name], float) for name in chosen)
    return binned_tasks(first, second, np.asarray(table.returns[agent], float), most=_MOST_BINS)


def _rows(lifetime: ExampleLifetime) -> list[dict[str, Any]]:
    """The steps of a lifetime for a table."""
    so_far = np.cumsum(lifetime.rewards).tolist()
    return [
        {"step": slot + 1, "episode": slot // lifetime.horizon + 1, "action": action, "reward": reward, "so_far": total}
        for slot, action, reward, total in zip(lifetime.slots, lifetime.actions, lifetime.rewards, so_far, strict=True)
    ]
