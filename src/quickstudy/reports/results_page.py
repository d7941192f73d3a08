"""The results page, drawn from the rows of the bench and their stored results; no number on it is typed by hand."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from quickstudy.evaluation.bench.rows import Group, Matrix, Row
from quickstudy.evaluation.bench.stored import Stored
from quickstudy.evaluation.numbers import bounded, duration, number
from quickstudy.protocol.errors import UsageError
from quickstudy.reports import markdown
from quickstudy.reports import results_tables as cells
from quickstudy.reports.adaptation_speed_page import load_speeds
from quickstudy.reports.readme_table import render_readme_block
from quickstudy.storage.atomic import write_atomically

PAGE = Path("docs") / "results.md"

_MARKED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.S)

_HEAD = """# Results

Each table compares meta-trained agents with classical methods on held-out tasks. `quickstudy bench page` draws this page from
the stored results in [results/rows](../results/rows). No number is typed by hand.

- All agents and baselines of a row solve the same tasks with common random numbers.
- `[ ]` is a 95 % bootstrap interval over tasks and training seeds. [Measuring](measuring.md) explains it.
- *Difference* is the agent minus the best baseline. ▲ the agent is better, ▼ it is worse, ≈ the interval includes 0.
- *Optimum* is the return of the exact optimum on the same tasks. No agent that must find out the task can do better.
- A target is reached if the mean over all seeds and tasks reaches it.
- An agent *with imitation* first imitates a classical method. All other agents learn from reward alone.

`quickstudy bench list` names the rows. `quickstudy bench run ROW` trains and measures one of them again.
`quickstudy bench verify` measures the agents in [bundles](../bundles) again and compares them with the stored results.
"""


def render_page(groups: Sequence[Group], results: Mapping[str, Stored | None]) -> str:
    """The whole results page as Markdown.

    Args:
      groups: in the order of the page.
      results: by name of the row or matrix; None if it was not run.
    """
    return "\n".join([_HEAD, *(_group(group, results) for group in groups)])


def write_pages(folder: Path, groups: Sequence[Group], results: Mapping[str, Stored | None]) -> list[Path]:
    """Draws the results page and the README's tables below a checkout, and returns the paths of both.

    Raises:
      UsageError: the README is missing, or has no place for the tables.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if not _MARKED.search(text):
        raise UsageError(
            f"{readme} has no lines <!-- measured --> and <!-- /measured -->. Name quickstudy's checkout with --folder."
        )
    block = render_readme_block(groups, results, load_speeds(folder))
    write_atomically(folder / PAGE, render_page(groups, results))
    write_atomically(readme, _MARKED.sub(lambda found: found[1] + block + found[2], text))
    return [folder / PAGE, readme]


def _group(group: Group, results: Mapping[str, Stored | None]) -> str:
    rows = [entry for entry in group.entries if isinstance(entry, Row)]
    run = [(row, stored) for row in rows if (stored := results[row.name]) is not None]
    matrices = [_matrix(entry, results[entry.name]) for entry in group.entries if isinstance(entry, Matrix)]
    parts = [f"## {group.title}", markdown.paragraph(group.about), _agents(group, run), _not_run(rows, results), _notes(run)]
    return markdown.join([*parts, _baselines(run), _references(group, rows), _provenance(run), *matrices]) + "\n"


def _agents(group: Group, run: Sequence[tuple[Row, Stored]]) -> str:
    """The table of the agents: a line for each row that was run; a column that no row needs is left out."""
    lines = [_agent_line(group, row, stored) for row, stored in run]
    heads = ["tasks", "agent", run[0][0].measure if run else "", "target", "optimum", "best baseline", "difference"]
    kept = [column for column in range(len(heads)) if any(line[column] != "–" for line in lines)]
    return markdown.table([heads[i] for i in kept], [[line[i] for i in kept] for line in lines]) if lines else ""


def _agent_line(group: Group, row: Row, stored: Stored) -> list[str]:
    (name, agent), measurement = cells.only_agent(stored), stored.measurements[0]
    best = cells.strongest(measurement, row.measure, without=group.bounds)
    optima = [number(measurement.opponents[one].value.value) for one in group.bounds if one in measurement.opponents]
    return [
        row.title,
        name,
        f"**{bounded(agent.value)}**",
        cells.target_of(row, stored),
        ", ".join(optima) or "–",
        "–" if best is None else f"{best[0]} {number(best[1].value.value)}",
        "–" if best is None else cells.signed_difference(best[1], name, row.measure),
    ]


def _not_run(rows: Sequence[Row], results: Mapping[str, Stored | None]) -> str:
    waiting = [f"`{row.name}`" for row in rows if results[row.name] is None]
    return markdown.paragraph(f"Not run yet: {', '.join(waiting)}.") if waiting else ""


def _notes(run: Sequence[tuple[Row, Stored]]) -> str:
    """The notes as a list; rows with the same note share one item."""
    names: dict[str, list[str]] = {}
    for row, stored in run:
        names.setdefault(row.note, []).append(_name(row, stored))
    return "\n".join(markdown.item(f"{'; '.join(who)}: {note}") for note, who in names.items() if note)


def _baselines(run: Sequence[tuple[Row, Stored]]) -> str:
    """Every baseline of every row, folded; a row's name stands on its first line only."""
    lines = []
    for row, stored in run:
        name, _ = cells.only_agent(stored)
        ranked = cells.ranked_baselines(stored.measurements[0], row.measure)
        for place, (baseline, found) in enumerate(ranked):
            difference = cells.signed_difference(found, name, row.measure)
            lines.append([_name(row, stored) if place == 0 else "", baseline, bounded(found.value), difference])
    if not lines:
        return ""
    heads = ("tasks and agent", "baseline", run[0][0].measure, "agent minus baseline")
    return markdown.folded("All baselines", markdown.table(heads, lines))


def _references(group: Group, rows: Sequence[Row]) -> str:
    """Numbers from elsewhere, folded: a table for each kind, with the methods as columns."""
    parts = []
    for mark in cells.marks_of(rows):
        known = [row for row in rows if row.references.get(mark)]
        methods = list(dict.fromkeys(method for row in known for method in row.references[mark]))
        lines = [
            [title, *(f"{found[method]:g}" if method in found else "–" for method in methods)]
            for title, found in {row.title: row.references[mark] for row in known}.items()
        ]
        parts += [markdown.paragraph(f"*{mark}*: {group.sources[mark]}."), markdown.table(["tasks", *methods], lines)]
    return markdown.folded("Reference numbers, on other tasks of the same kind", *parts) if parts else ""


def _provenance(run: Sequence[tuple[Row, Stored]]) -> str:
    """Commands, trainings, machines, seeds and task lists, folded; a missed target adds the learning curve."""
    items = []
    for row, stored in run:
        measurement, agent = stored.measurements[0], cells.only_agent(stored)[1]
        seeds = ", ".join(number(value) for value in agent.by_seed)
        sentences = [
            f"`{row.name}` ({_name(row, stored)}): {cells.commands_text(stored)}; {cells.training_text(row, stored)}.",
            f"Measured on {measurement.tasks:,} tasks (split `{measurement.split}`, list `{measurement.task_hash[:12]}`)",
            f"in {duration(stored.seconds)} on {cells.machine_text(stored.machine)}.",
            f"Mean of each seed: {seeds}." if len(agent.by_seed) > 1 else "",
            cells.learning_curve(stored) if agent.value.value is not None and row.reached(agent.value.value) is False else "",
        ]
        items.append(markdown.item(" ".join(sentence for sentence in sentences if sentence)))
    return markdown.folded("Commands, training, seeds and task lists", "\n".join(items)) if items else ""


def _matrix(matrix: Matrix, stored: Stored | None) -> str:
    head = f"### {matrix.title}\n\n"
    if stored is None:
        agents = ", ".join(f"`{name}`" for name in matrix.agents)
        return head + markdown.paragraph(f"`{matrix.name}` was not run yet. It needs the agents of {agents}.")
    lines = [
        [f"**`{agent}`**", *(bounded(measurement.agents[agent].value) for measurement in stored.measurements)]
        for agent in matrix.agents
    ]
    for name in dict.fromkeys(name for measurement in stored.measurements for name in measurement.opponents):
        found = [measurement.opponents.get(name) for measurement in stored.measurements]
        lines.append([name, *("–" if one is None else bounded(one.value) for one in found)])
    lists = ", ".join(f"{one.title} `{one.task_hash[:12]}`" for one in stored.measurements)
    told = (
        f"Each column has {stored.measurements[0].tasks:,} held-out tasks; task lists: {lists}. `{stored.command}`, "
        f"{duration(stored.seconds)} on {cells.machine_text(stored.machine)}."
    )
    table = markdown.table([f"{matrix.measure} of", *(measurement.title for measurement in stored.measurements)], lines)
    return head + markdown.join([table, markdown.paragraph(told)])


def _name(row: Row, stored: Stored) -> str:
    return f"{row.title}, {cells.only_agent(stored)[0]}"
