"""The rows of the bench as data: the agent, its tasks, its budget, and the numbers to compare it with.

A file of rows is one group, a table of the results page:

    title, about         what the page says above the table
    place                of the group on the page
    bounds               baselines that no agent can beat that has to find out the task, such as an exact optimum
    [sources]            mark of a reference -> where such numbers are from
    [shared]             settings of every row here that does not say otherwise
    [rows.NAME]          the fields of `Row`
    [matrices.NAME]      the fields of `Matrix`, with [[matrices.NAME.columns]]
"""

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.plain import from_plain
from quickstudy.storage.reading import read_file
from quickstudy.training.budget import parse_budget

SHIPPED = Path(__file__).parent / "rows"
"""The files of rows that come with the package."""

MARKS = ("exact", "bound", "published", "simulated", "quoted")
"""How sure a reference is, the surest first."""

MEASURES = ("lifetime return", "regret")
KINDS = ("pure RL", "with imitation")

_MOST_BYTES = 2**24
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One agent on one distribution of tasks.

    Args:
      name: on the command line, of its bundle and of its result.
      title: what the tasks are, in a few words.
      distribution: a name of `quickstudy list`; it need not exist yet.
      settings: of the distribution, where they differ from its defaults.
      algorithm: a name of `quickstudy list`.
      algorithm_settings: where they differ from its defaults.
      budget: of each seed, as for `quickstudy train`.
      seeds: independent training runs.
      tasks: held-out tasks that are measured on.
      split: that they come from.
      measure: one of `MEASURES`; regret is better if it is lower.
      target: that the mean over seeds and tasks is to reach; None if there is none.
      references: mark -> method -> number, in the unit of the measure.
      kind: one of `KINDS`.
      bundle: the row whose agent serves this one too; None if it is trained for it.
      baselines: those measured on the same tasks; None is all that the distribution has.
      note: what was tried and what holds it back, where the target is missed.
      readme: the words for its tasks in the README's table; empty where the row is not in that table.
    """

    name: str
    title: str
    distribution: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    algorithm: str = "rl2"
    algorithm_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    budget: str = "10m"
    seeds: int = 5
    tasks: int = 4000
    split: str = "test"
    measure: str = "lifetime return"
    target: float | None = None
    references: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    kind: str = "pure RL"
    bundle: str | None = None
    baselines: tuple[str, ...] | None = None
    note: str = ""
    readme: str = ""

    @property
    def agent(self) -> str:
        """The row whose bundle holds the agent."""
        return self.bundle or self.name

    def reached(self, value: float) -> bool | None:
        """Whether a measured mean reaches the target; None if there is none."""
        if self.target is None:
            return None
        return value <= self.target if self.measure == "regret" else value >= self.target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A distribution that every agent of a matrix is measured on."""

    title: str
    distribution: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: str = "test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matrix:
    """Agents of several rows on several distributions: which agents generalise to which tasks.

    Args:
      name: on the command line and of its result.
      title: what is compared, in a few words.
      agents: rows whose bundles take part.
      columns: distributions with the same spaces.
      tasks: held-out tasks of each column.
      measure: one of `MEASURES`.
      baselines: measured beside them; None is all that a distribution has.
    """

    name: str
    title: str
    agents: tuple[str, ...]
    columns: tuple[Column, ...]
    tasks: int = 4000
    measure: str = "lifetime return"
    baselines: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """A table of the results page; `entries` are its rows, then its matrices."""

    title: str
    about: str
    place: int = 0
    bounds: tuple[str, ...] = ()
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    entries: tuple[Row | Matrix, ...] = ()


def load_groups(path: Path = SHIPPED) -> tuple[Group, ...]:
    """The groups of a file of rows, or of every such file in a folder, in the page's order.

    Raises:
      UsageError: a file is not there, does not parse, or says something that makes no sense; names the file and the row.
      UnknownNameError: a key that is not known, or a row that refers to one that is not there.
    """
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path} holds no file of rows (*.toml).")
    groups = sorted((_group(file) for file in files), key=lambda group: group.place)
    entries = [entry for group in groups for entry in group.entries]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path}: two rows are called {name!r}. Names are those of bundles, so each is there once.")
    trained = [entry.name for entry in entries if isinstance(entry, Row) and entry.bundle is None]
    for entry in entries:
        for agent in agents_of(entry):
            if agent not in trained:
                raise UnknownNameError(f"trained row in {entry.name},", agent, trained)
    return tuple(groups)


def find(groups: Iterable[Group], name: str) -> Row | Matrix:
    """The row or matrix of that name.

    Raises:
      UnknownNameError: there is none; suggests the nearest.
    """
    entries = {entry.name: entry for group in groups for entry in group.entries}
    if name not in entries:
        raise UnknownNameError("row", name, entries)
    return entries[name]


def columns_of(entry: Row | Matrix) -> tuple[Column, ...]:
    """What a row (one column) or a matrix is measured on."""
    if isinstance(entry, Matrix):
        return entry.columns
    return (Column(title=entry.title, distribution=entry.distribution, settings=entry.settings, split=entry.split),)


def agents_of(entry: Row | Matrix) -> tuple[str, ...]:
    """The rows whose bundles take part in a row (its own, or the one it shares) or a matrix."""
    return entry.agents if isinstance(entry, Matrix) else (entry.agent,)


def _group(file: Path) -> Group:
    try:
        content = tomllib.loads(read_file(file, what="file of rows", most_bytes=_MOST_BYTES).decode())
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise UsageError(f"the file of rows {file} does not parse: {error}.") from error
    rows: dict[str, Any] = _tables(content.pop("rows", {}), f"{file}: rows", of=dict)
    matrices: dict[str, Any] = _tables(content.pop("matrices", {}), f"{file}: matrices", of=dict)
    shared = _tables(content.pop("shared", {}), f"{file}: shared")
    if "entries" in content:
        raise UsageError(f"{file}: entries are given as [rows.NAME] and [matrices.NAME]; came the key 'entries'.")
    group = from_plain(Group, content, where=str(file))
    for mark in group.sources:
        if mark not in MARKS:
            raise UnknownNameError(f"mark in {file},", mark, MARKS)
    entries: list[Row | Matrix] = [_row(name, shared | row, group.sources, f"{file}, {name}") for name, row in rows.items()]
    entries += [_matrix(name, matrix, f"{file}, {name}") for name, matrix in matrices.items()]
    return dataclasses.replace(group, entries=tuple(entries))


def _row(name: str, content: dict[str, Any], sources: Mapping[str, str], where: str) -> Row:
    row = from_plain(Row, content | {"name": name}, where=where)
    _check(name, row.tasks, row.measure, where)
    parse_budget(row.budget)
    if row.kind not in KINDS:
        raise UnknownNameError(f"kind in {where},", row.kind, KINDS)
    if row.seeds < 1:
        raise UsageError(f"{where}: seeds must be 1 or more; came {row.seeds}.")
    for mark in row.references:
        if mark not in sources:
            raise UnknownNameError(f"mark in {where}, which needs its line in [sources],", mark, sources)
    return row


def _matrix(name: str, content: dict[str, Any], where: str) -> Matrix:
    matrix = from_plain(Matrix, content | {"name": name}, where=where)
    if not matrix.columns:
        raise UsageError(f"{where}: it needs columns, as in [[matrices.{name}.columns]]; came none.")
    _check(name, matrix.tasks, matrix.measure, where)
    return matrix


def _check(name: str, tasks: int, measure: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name is small letters and digits with single hyphens between; came {name!r}.")
    if measure not in MEASURES:
        raise UnknownNameError(f"measure in {where},", measure, MEASURES)
    if tasks < 1:
        raise UsageError(f"{where}: tasks must be 1 or more; came {tasks}.")


def _tables(content: Any, where: str, of: type | tuple[type, ...] = object) -> dict[str, Any]:
    """A TOML table, its values of one type."""
    if not isinstance(content, dict) or not all(isinstance(value, of) for value in content.values()):
        raise UsageError(f"{where} must be a table of names and values; came {content!r}.")
    return content
