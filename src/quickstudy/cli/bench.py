"""`quickstudy bench`: published tables, trained, measured and verified row by row."""

import dataclasses
import functools
import shlex
from collections.abc import Callable
from pathlib import Path

from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from quickstudy import algorithms
from quickstudy.cli.arguments import leading_words, parse, positional, with_usages
from quickstudy.cli.console import Console, progress_bars, say
from quickstudy.cli.evaluations import show_evaluation
from quickstudy.cli.progress_panel import Panel
from quickstudy.evaluation.bench import stored as storage
from quickstudy.evaluation.bench.measuring import bundles_of, distribution_of, measure_entry
from quickstudy.evaluation.bench.rows import SHIPPED, Group, Matrix, Row, columns_of, find, load_groups
from quickstudy.evaluation.bench.stored import Stored, Training
from quickstudy.evaluation.bench.training import run_path, training_of, training_of_bundle
from quickstudy.evaluation.bench.verification import Check, load_bundles, verify
from quickstudy.evaluation.numbers import bounded
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.splits import note_results
from quickstudy.protocol.errors import MissingExtraError, UnknownNameError, UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.reports.adaptation_speed_page import write_speed_page
from quickstudy.reports.algorithms_page import write_algorithms_table
from quickstudy.reports.results_page import write_pages
from quickstudy.reports.results_tables import NOT_RUN, only_agent, target_of
from quickstudy.storage.bundle import save_bundle
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.train_and_save import train_and_save

_SAID = "Measures the published tables, row by row."
_USAGE = "quickstudy bench list | run ROW | verify [ROW ...] | page"
_USAGES = {
    "list": "quickstudy bench list",
    "run": "quickstudy bench run ROW",
    "verify": "quickstudy bench verify [ROW ...]",
    "page": "quickstudy bench page",
}
_BUNDLE_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhereArguments:
    """Which rows, and where their results are."""

    rows: str | None = None
    """A file of rows, or a folder of such files; the rows of the package if not given."""
    folder: str = "."
    """A clone of quickstudy, with results/rows/ and bundles/."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRowArguments(WhereArguments):
    """How a row is run."""

    budget: str | None = None
    """Another budget than the row's, as for `quickstudy train`."""
    resume: bool = False
    """Go on with a training that was interrupted."""
    overwrite: bool = False
    """Train again where the row was trained before."""
    evaluate_only: bool = False
    """Measure the bundle that is there; train nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyArguments(WhereArguments):
    """How thoroughly results are verified."""

    quick: bool = False
    """Only the first tasks of each list."""


def run(arguments: list[str]) -> int:
    """Carries out one of the bench's own verbs; status 1 if a result does not come out again."""
    words, rest = positional(arguments, ("list, run, verify or page",), usage=_USAGE)
    if not words:
        parse(WhereArguments, rest, program="quickstudy bench", description=with_usages(_SAID, _USAGES))
    if words[0] not in _VERBS:
        raise UnknownNameError("command of the bench", words[0], _VERBS)
    return _VERBS[words[0]](rest)


def _list(arguments: list[str]) -> int:
    asked = parse(WhereArguments, arguments, program="quickstudy bench list", description="Lists rows and their results.")
    groups, folder, console = _groups(asked), Path(asked.folder), Console()
    for group in groups:
        shown = Table("row", "tasks", "seeds", "budget", "target", "result", title=group.title, title_justify="left")
        shown.columns[0].no_wrap = True
        for entry in group.entries:
            shown.add_row(*map(Text, _listed(entry, storage.load(folder, entry))))
        console.print(shown)
    if not (folder / "results").is_dir():
        console.print(_no_checkout(folder), soft_wrap=True)
    return 0


def _run(arguments: list[str]) -> int:
    words, flags = positional(arguments, ("ROW",), usage="quickstudy bench run ROW [--flags]")
    asked = parse(RunRowArguments, flags, program="quickstudy bench run", description="Trains a row's agent and measures it.")
    groups, folder = _groups(asked), _checkout(asked)
    entry = find(groups, words[0])
    trains = isinstance(entry, Row) and entry.bundle is None and not asked.evaluate_only
    if asked.budget is not None and not trains:
        raise UsageError(f"--budget is for training, and nothing is trained for {entry.name} here. Leave it out.")
    if trains and isinstance(entry, Row) and not _train(entry, asked, folder):
        return 130
    training = _training(entry, folder)
    command = f"quickstudy bench run {entry.name}"
    if training is not None:  # a row with an agent of its own
        command = training.command if trains else f"{command} --evaluate-only"
    with progress_bars(Console()) as bars:
        bar = bars.add_task(entry.name, total=1.0)
        result, evaluations = measure_entry(
            entry, folder, command=command, training=training, progress=functools.partial(_show, bars, bar)
        )
    _tell(entry, result, evaluations, folder)
    if asked.rows is None:
        _draw(groups, folder)
    return 0


def _verify(arguments: list[str]) -> int:
    words, flags = leading_words(arguments)
    asked = parse(VerifyArguments, flags, program="quickstudy bench verify", description="Measures shipped agents again.")
    groups, folder = _groups(asked), _checkout(asked)
    chosen = [find(groups, word) for word in words] or [entry for group in groups for entry in group.entries]
    results = [(entry, storage.load(folder, entry)) for entry in chosen]
    for entry, result in results:
        if words and result is None:
            raise UsageError(f"{entry.name} was not run: there is no {storage.result_path(folder, entry.name)}.")
    there = [(entry, result) for entry, result in results if result is not None]
    console, faults, checks, without = Console(), 0, 0, 0
    for (entry, result), bundles in zip(there, load_bundles(there, folder), strict=True):
        try:
            for check in verify(entry, result, bundles, quick=asked.quick):
                console.print(_line(check), soft_wrap=True)
                faults, checks = faults + bool(check.fault), checks + 1
        except MissingExtraError as error:
            if words:
                raise
            console.print(f"{entry.name}: not measured. {error}", soft_wrap=True)
            without += 1
    left = f"; {without} rows need a suite that is not installed" if without else ""
    say(f"{checks - faults} of {checks} stored results came out again; {len(results) - len(there)} rows were not run{left}.")
    return 1 if faults else 0


def _page(arguments: list[str]) -> int:
    asked = parse(
        WhereArguments, arguments, program="quickstudy bench page", description="Draws docs/results.md and the README."
    )
    _draw(_groups(asked), _checkout(asked))
    return 0


_VERBS: dict[str, Callable[[list[str]], int]] = {"list": _list, "run": _run, "verify": _verify, "page": _page}


def _groups(asked: WhereArguments) -> tuple[Group, ...]:
    return load_groups(SHIPPED if asked.rows is None else Path(asked.rows))


def _checkout(asked: WhereArguments) -> Path:
    folder = Path(asked.folder)
    if not (folder / "results").is_dir():
        raise UsageError(_no_checkout(folder))
    return folder


def _no_checkout(folder: Path) -> str:
    return (
        f"there is no {folder / 'results'}: results and bundles lie in quickstudy's checkout, not in the installed "
        f"package. Go there, name it with --folder, or begin a bench of your own with: mkdir {shell_word(folder / 'results')}"
    )


def _listed(entry: Row | Matrix, result: Stored | None) -> tuple[str, ...]:
    if isinstance(entry, Matrix):
        agents, columns = len(entry.agents), len(entry.columns)
        return (
            entry.name,
            entry.title,
            "–",
            "–",
            "–",
            NOT_RUN if result is None else f"{agents} agents on {columns} distributions",
        )
    value = NOT_RUN if result is None else bounded(only_agent(result)[1].value)
    budget = entry.budget if entry.bundle is None else f"agent of {entry.bundle}"
    return entry.name, entry.title, str(entry.seeds), budget, target_of(entry, result), value


def _train(row: Row, asked: RunRowArguments, folder: Path) -> bool:
    """Trains a row's agent and saves its bundle; False if that was interrupted."""
    (column,) = columns_of(row)
    distribution = distribution_of(column, row.measure)
    algorithm = algorithms.make(row.algorithm, distribution.spec, **row.algorithm_settings)
    config = TrainingConfig(budget=asked.budget or row.budget, seeds=row.seeds)
    command = shlex.join(["quickstudy", "bench", "run", row.name, *(["--budget", asked.budget] if asked.budget else [])])
    with Panel(algorithm, distribution, config) as panel:
        # The row measures the baselines that it names, on more tasks.
        trained = train_and_save(
            algorithm, distribution, config, folder=run_path(folder, row.name), resume=asked.resume, overwrite=asked.overwrite,
            command=command, measure_baselines=False, watcher=panel,
        )  # fmt: skip
    if not trained.finished:
        say(f"Interrupted and saved. Go on with:\n  {command} --resume")
        return False
    bundle = save_bundle(
        storage.bundle_path(folder, row.name), algorithm, trained.params, distribution=distribution, command=command
    )
    size = sum(file.stat().st_size for file in bundle.iterdir())
    if size > _BUNDLE_BYTES:
        say(f"{bundle} has {size:,} bytes; more than {_BUNDLE_BYTES:,} is much for a repository.")
    return True


def _training(entry: Row | Matrix, folder: Path) -> Training | None:
    """How the agent of a row came to be: from its run, an earlier record or its bundle; None if it is another's."""
    if isinstance(entry, Matrix) or entry.bundle is not None:
        return None
    bundle = bundles_of(entry, folder)[entry.name]
    digest = bundle.card["parameters_sha256"]
    found = training_of(run_path(folder, entry.name), digest, processor=storage.processor())
    return found or storage.kept_training(folder, entry.name, digest) or training_of_bundle(bundle)


def _tell(entry: Row | Matrix, result: Stored, evaluations: list[Evaluation], folder: Path) -> None:
    """Saves what was measured, and prints it."""
    console = Console()
    for evaluation in evaluations:
        show_evaluation(console, evaluation)
    if isinstance(entry, Row) and entry.bundle is None:
        note_results(storage.bundle_path(folder, entry.name), evaluations)
    if isinstance(entry, Row):
        say(f"Target: {target_of(entry, result)}")
    say(f"Saved: {result.save(folder)}")


def _draw(groups: tuple[Group, ...], folder: Path) -> None:
    results = {entry.name: storage.load(folder, entry) for group in groups for entry in group.entries}
    for path in [*write_pages(folder, groups, results), write_speed_page(folder), *write_algorithms_table(folder)]:
        say(f"Drawn: {path}")


def _line(check: Check) -> str:
    if not check.now:
        return f"differs  {check.row}, {check.where}: {check.fault}"
    came = f"{check.now}, stored {check.stored}"
    if check.fault:
        return f"differs  {check.row}, {check.where}: {came}: {check.fault}"
    return f"ok       {check.row}, {check.where}: {came}, {'equal' if check.equal else 'within'}"


def _show(bars: Progress, bar: TaskID, what: str, share: float) -> None:
    bars.update(bar, completed=share, description=what)
