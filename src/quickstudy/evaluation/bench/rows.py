"""The bench's rows as data: what is trained, on what, for how long, and which numbers it is to be held against.

A file of rows is one group, a table of the results page:

    title, about         what the page says above the table
    place                of the group on the page
    bounds               baselines that nobody who has to find the task out can beat, such as an exact optimum
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
from typing import Any, get_origin, get_type_hints

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.training.budget import parse_budget

SHIPPED = Path(__file__).parent / "rows"
"""The files of rows that come with the package."""

MARKS = ("exact", "bound", "published", "simulated", "quoted")
"""How sure a reference is, the surest first."""

MEASURES = ("lifetime return", "regret")
KINDS = ("pure RL", "with imitation")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One agent on one distribution of tasks.

    Args:
      name: on the command line, of its bundle and of its result.
      title: what the tasks are, in a few words.
      distribution: a name as `quickstudy list` tells them; it need not exist yet.
      settings: of the distribution, where they differ from its defaults.
      algorithm: as `quickstudy list` tells them.
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
    """Agents of several rows on several distributions: who carries over where.

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
    place: int
    bounds: tuple[str, ...]
    sources: Mapping[str, str]
    entries: tuple[Row | Matrix, ...]


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
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the file of rows {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the file of rows {file} does not parse: {error}.") from error
    rows: dict[str, Any] = _tables(content.pop("rows", {}), f"{file}: rows", of=dict)
    matrices: dict[str, Any] = _tables(content.pop("matrices", {}), f"{file}: matrices", of=dict)
    shared = _tables(content.pop("shared", {}), f"{file}: shared")
    said: Any = _filled(dataclasses.make_dataclass("Said", _SAID), content, str(file))
    for mark in said.sources:
        if mark not in MARKS:
            raise UnknownNameError(f"mark in {file},", mark, MARKS)
    entries: list[Row | Matrix] = [_row(name, shared | row, said.sources, f"{file}, {name}") for name, row in rows.items()]
    entries += [_matrix(name, matrix, f"{file}, {name}") for name, matrix in matrices.items()]
    return Group(**dataclasses.asdict(said), entries=tuple(entries))


_SAID: list[Any] = [
    ("title", str),
    ("about", str),
    ("place", int, dataclasses.field(default=0)),
    ("bounds", tuple[str, ...], dataclasses.field(default=())),
    ("sources", Mapping[str, str], dataclasses.field(default_factory=dict)),
]


def _row(name: str, content: dict[str, Any], sources: Mapping[str, str], where: str) -> Row:
    row = _filled(Row, content | {"name": name}, where)
    _check(name, row.tasks, row.measure, where)
    parse_budget(row.budget)
    if row.kind not in KINDS:
        raise UnknownNameError(f"kind in {where},", row.kind, KINDS)
    if row.seeds < 1:
        raise UsageError(f"{where}: seeds must be 1 or more; came {row.seeds}.")
    for mark, numbers in row.references.items():
        if mark not in sources:
            raise UnknownNameError(f"mark in {where}, which needs its line in [sources],", mark, sources)
        for method, number in _tables(numbers, f"{where}: {mark}", of=(int, float)).items():
            numbers[method] = float(number)
    return row


def _matrix(name: str, content: dict[str, Any], where: str) -> Matrix:
    columns = content.get("columns", [])
    if not isinstance(columns, list) or not columns:
        raise UsageError(f"{where}: it needs columns, as in [[matrices.{name}.columns]].")
    filled = [_filled(Column, column, f"{where}, column {number}") for number, column in enumerate(columns, 1)]
    matrix = _filled(Matrix, content | {"name": name, "columns": filled}, where)
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


def _filled(kind: type, content: Any, where: str) -> Any:
    """A dataclass from a TOML table, every key and type checked."""
    fields, hints = {field.name: field for field in dataclasses.fields(kind)}, get_type_hints(kind)
    for key, value in _tables(content, where).items():
        if key not in fields:
            raise UnknownNameError(f"key in {where},", key, fields)
        allowed = _in_toml(hints[key])
        listed = value if isinstance(value, list) else []
        if not isinstance(value, allowed) or isinstance(value, bool) or not all(isinstance(x, str | Column) for x in listed):
            raise UsageError(f"{where}: {key} must be {_IN_WORDS[allowed[-1]]}; came {value!r}.")
    missing = [
        name
        for name, field in fields.items()
        if name not in content and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UsageError(f"{where} lacks {', '.join(missing)}.")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})


_IN_WORDS = {int: "a whole number", float: "a number", str: "text", dict: "a table", list: "a list of texts"}


def _in_toml(hint: Any) -> tuple[type, ...]:
    """The types that TOML has for a field's type."""
    if hint in (int, str):
        return (hint,)
    if hint == float | None:
        return (int, float)
    if get_origin(hint) is not None and issubclass(get_origin(hint) or object, Mapping):
        return (dict,)
    return (str,) if hint == str | None else (list,)
