"""`quickstudy fit RECORDS.csv --kind ab-test --out FOLDER`: a task distribution from records of past tasks."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console, say
from quickstudy.fitting import KINDS, fit_records
from quickstudy.fitting.results import Fitted
from quickstudy.fitting.tasks_file import report_json, tasks_file
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.protocol.setting_values import Count, Range, Seed
from quickstudy.reports.fit_chart import fit_picture
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.results_folder import check_results_folder

_SAID = (
    "Fits a task distribution to a table of past tasks, checks it on tasks that were held out, and writes a file to train on."
)
_USAGE = "quickstudy fit RECORDS.csv --as KIND --out FOLDER [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitArguments:
    """The records, and where the tasks go."""

    kind: str = "ab-test"
    """Kind of records; --as is the same flag."""
    out: str = "fitted"
    """Folder for tasks.py, fit.json, fit.svg and fit.png."""
    held_out: Annotated[float, Range(least=0, most=0.5)] = 0.2
    """Share of the tasks that nothing is fitted to; the fit is checked on them."""
    seed: Seed = 0
    """Seed of the choice of held-out tasks."""
    control: str | None = None
    """For ab-test: name of the control arm."""
    horizon_users: Count | None = None
    """For ab-test: total number of users, in a test and after it."""
    clusters: Count | None = None
    """For recommendation: clusters of visitors; the number that predicts other visitors best if not given."""
    missing_days: bool = False
    """For ab-test and forecasting: allow gaps between the days of a task."""


def run(arguments: list[str]) -> int:
    """Prints the fit and its checks, and writes the files."""
    words, flags = positional(arguments, ("RECORDS.csv",), usage=_USAGE)
    flags = ["--kind" if flag == "--as" else f"--kind={flag[5:]}" if flag.startswith("--as=") else flag for flag in flags]
    described = f"{_SAID}\n\nKinds of records: {', '.join(KINDS)}."
    asked = parse(FitArguments, flags, program=_USAGE.partition(" --")[0], description=described)
    if asked.kind not in KINDS:
        raise UnknownNameError("kind of records", asked.kind, KINDS)
    check_results_folder(asked.out, flag="--out")
    fitted = fit_records(words[0], kind=asked.kind, held_out=asked.held_out, seed=asked.seed, **_own(asked))
    console = Console()
    console.print(settings_table(fitted), matches_table(fitted))
    folder = Path(asked.out)
    path = folder / "tasks.py"
    picture = fit_picture(fitted)
    write_atomically(path, tasks_file(fitted, path=str(path)))
    write_atomically(folder / "fit.json", report_json(fitted) + "\n")
    write_atomically(folder / "fit.svg", picture.svg)
    write_atomically(folder / "fit.png", picture.png)
    for note in fitted.notes:
        say(note)
    place = shell_word(f"{path}:make")
    say(
        f"Saved in {folder}: tasks.py, fit.json, fit.svg, fit.png. Next: quickstudy check {place}; quickstudy train rl2 {place}"
    )
    return 0


def settings_table(fitted: Fitted) -> Table:
    """The settings, and where they come from."""
    said = f"{fitted.rows:,} rows; fitted to {fitted.tasks} tasks, {fitted.held_out} held out"
    table = Table(title=said, title_justify="left")
    for column in ("setting", "value", "95 % interval", "from"):
        table.add_column(column, justify="right" if column == "value" else "left", no_wrap=True)
    for name, value in fitted.settings.items():
        if isinstance(value, tuple):
            table.add_row(name, f"{len(value):,} numbers", "", "fitted")
            continue
        ends = fitted.intervals.get(name)
        between = f"{ends[0]:.3g} to {ends[1]:.3g}" if ends else ""
        origin = "fitted" if name in fitted.fitted else "the table, or given"
        shown = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        table.add_row(name, shown, between, origin)
    return table


def matches_table(fitted: Fitted) -> Table:
    """The checks: a quantity of real tasks beside simulated tables."""
    which = "held-out tasks" if fitted.held_out else "the tasks of the fit"
    table = Table(title=f"Do simulated tables look like {which}?", title_justify="left")
    for column in ("quantity", "real", "simulated, 90 %", ""):
        table.add_column(column, justify="left" if column == "quantity" else "right", no_wrap=column != "quantity")
    for one in fitted.matches:
        table.add_row(one.name, f"{one.real:.3g}", f"{one.low:.3g} to {one.high:.3g}", "yes" if one.fits else "NO")
    return table


def _own(asked: Any) -> dict[str, Any]:
    """The settings of the kind that were given; one that another kind has is refused."""
    of_kinds = {
        "ab-test": ("control", "horizon_users", "missing_days"),
        "forecasting": ("missing_days",),
        "pricing": (),
        "recommendation": ("clusters",),
    }
    given = {name: getattr(asked, name) for names in of_kinds.values() for name in names}
    given = {name: value for name, value in given.items() if value not in (None, False)}
    wrong = sorted(set(given) - set(of_kinds[asked.kind]))
    if wrong:
        kinds = " or ".join(f"--as {kind}" for kind, names in of_kinds.items() if wrong[0] in names)
        flag = wrong[0].replace("_", "-")
        raise UsageError(f"--{flag} is no flag of --as {asked.kind}, but of {kinds}. Leave --{flag} out.")
    return given
