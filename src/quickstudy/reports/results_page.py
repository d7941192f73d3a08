"""The results page and the README's table, drawn from the rows and what is stored of them; nothing in them is typed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from quickstudy.evaluation.bench.rows import Group, Matrix, Row
from quickstudy.evaluation.bench.stored import Stored
from quickstudy.evaluation.numbers import bounded, number
from quickstudy.protocol.errors import UsageError
from quickstudy.reports import results_tables
from quickstudy.reports.results_tables import NOT_RUN, duration, machine_text, markdown, only_agent
from quickstudy.storage.atomic import write_atomically

PAGE = Path("docs") / "results.md"

_MARKED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.S)

_HEAD = """# Results

This page is drawn by `quickstudy bench page` from the rows that `quickstudy bench list` names and from the results under
[results/rows](../results/rows): no number on it is typed by hand.

- `quickstudy bench run ROW` trains a row's agent from nothing, measures it, and draws this page again. Each number stands in
  one group with the command, the machine, the wall-clock and the seeds that it came from.
- `quickstudy bench verify` measures the agents in [bundles](../bundles) again and holds them against what is stored.
- Everybody in a line lives on the same held-out tasks with the same luck. `[ ]` are 95 % bootstrap intervals over tasks and
  training seeds; [Measuring](measuring.md) says how. A target is reached if the mean over all seeds and tasks reaches it.
- ▲ our agent is better than this opponent, ▼ worse, ≈ the interval of the difference holds 0. Opponents are means on the same
  tasks; the first columns after the target are bounds, which know more than anybody can find out, or are exact optima.
- References are other people's numbers or come from elsewhere, on other tasks; what each mark means stands below its table.
"""


_README = """\
Mean lifetime returns (or regrets, where it says so) with 95 % intervals over training seeds and held-out tasks, everybody
on the same tasks with the same luck. Measured on {machines}; the last column
names the machine that trained where it was another.

{table}

`quickstudy bench run ROW` trains and measures a line again from nothing, `quickstudy bench verify` measures the agents in
[bundles](bundles) again. All opponents, commands, seeds, ties and losses: [results](docs/results.md){waiting}.{instead}
"""

_README_HEADS = (
    "tasks",
    "our agent",
    "strongest classical method",
    "difference",
    "optimum or bound",
    "RL² published",
    "training",
)


def render_page(groups: Sequence[Group], results: Mapping[str, Stored | None]) -> str:
    """The whole results page.

    Args:
      groups: in the page's order.
      results: by name of the row or matrix; None where it was not run.
    """
    return "\n".join([_HEAD, *(_group(group, results) for group in groups)])


def render_readme_block(groups: Sequence[Group], results: Mapping[str, Stored | None]) -> str:
    """What stands between the README's marks: one line for each row that was run, or what a group says instead."""
    lines, machines = [], set()
    rows = [(group, row) for group in groups for row in _rows(group) if not group.instead]
    for group, row in rows:
        stored = results[row.name]
        if stored is not None:
            lines.append(_readme_line(group, row, stored))
            machines.add(machine_text(stored.machine))
    waiting = len(rows) - len(lines)
    return _README.format(
        machines="; ".join(sorted(machines)) or "nothing yet",
        table=markdown(_README_HEADS, lines),
        waiting=f", which also names {waiting} rows that were not run yet" if waiting else "",
        instead="".join(f"\n{group.instead}" for group in groups if group.instead),
    )


def write_pages(folder: Path, groups: Sequence[Group], results: Mapping[str, Stored | None]) -> list[Path]:
    """Draws the results page and the README's block below a checkout; gives what was written.

    Raises:
      UsageError: the README is not there or has no place for the block.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if not _MARKED.search(text):
        raise UsageError(
            f"{readme} has no lines <!-- measured --> and <!-- /measured -->. Name quickstudy's checkout with --folder."
        )
    block = render_readme_block(groups, results)
    write_atomically(folder / PAGE, render_page(groups, results))
    write_atomically(readme, _MARKED.sub(lambda found: found[1] + block + found[2], text))
    return [folder / PAGE, readme]


def _group(group: Group, results: Mapping[str, Stored | None]) -> str:
    rows = _rows(group)
    run = [(row, stored) for row in rows if (stored := results[row.name]) is not None]
    parts = [f"## {group.title}", group.about, _measured(group, rows, results)]
    if run:
        parts += [_provenance(run), "\n".join(_told(row, stored) for row, stored in run)]
    marks = results_tables.marks_of(rows)
    if marks:
        parts.append(
            markdown(
                ["references", *marks], [[row.title, *(results_tables.references_of(row, m) for m in marks)] for row in rows]
            )
        )
        parts.append("\n".join(f"- *{mark}*: {group.sources[mark]}." for mark in marks))
    matrices = [entry for entry in group.entries if isinstance(entry, Matrix)]
    parts += [_matrix(matrix, results[matrix.name]) for matrix in matrices]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _rows(group: Group) -> list[Row]:
    return [entry for entry in group.entries if isinstance(entry, Row)]


def _measured(group: Group, rows: Sequence[Row], results: Mapping[str, Stored | None]) -> str:
    """Our agents and their opponents, a line for each row."""
    present = [name for row in rows if (stored := results[row.name]) for name in stored.measurements[0].opponents]
    bounds = [name for name in group.bounds if name in present]
    opponents = bounds + [name for name in dict.fromkeys(present) if name not in bounds]
    lines = []
    for row in rows:
        stored = results[row.name]
        if stored is None:
            lines.append([_task_cell(row), row.kind, NOT_RUN, results_tables.target_of(row, None), *["–"] * len(opponents)])
            continue
        name, agent = only_agent(stored)
        cells = [results_tables.opponent_cell(stored.measurements[0], opponent, name) for opponent in opponents]
        ours = f"**{bounded(agent.value)}**"
        lines.append([_task_cell(row), f"{name}, {row.kind}", ours, results_tables.target_of(row, stored), *cells])
    return markdown(["tasks", "our agent", f"its {rows[0].measure}" if rows else "its value", "target", *opponents], lines)


def _provenance(run: Sequence[tuple[Row, Stored]]) -> str:
    """Commands, machines, wall-clock, seeds and task lists."""
    lines = []
    for row, stored in run:
        measurement = stored.measurements[0]
        lines.append([
            results_tables.commands_text(stored),
            results_tables.training_text(row, stored),
            machine_text(stored.machine),
            ", ".join(number(value) for value in only_agent(stored)[1].by_seed),
            f"{measurement.tasks:,} ({measurement.split}, `{measurement.task_hash[:12]}`)",
            duration(stored.seconds),
        ])  # fmt: skip
    return markdown(["command", "training", "machine", "each seed", "held-out tasks, their list", "measuring"], lines)


def _told(row: Row, stored: Stored) -> str:
    """The verdict on a row; where the target is missed, the curve and what holds it back."""
    value = only_agent(stored)[1].value.value
    sentences = [*(["In returns:"] if row.measure == "regret" else []), *stored.measurements[0].verdict]
    if value is not None and row.reached(value) is False:
        sentences += [f"The target of {row.target:g} is missed.", results_tables.learning_curve(stored)]
    return f"- `{row.name}`: " + " ".join(sentence for sentence in (*sentences, row.note) if sentence)


def _matrix(matrix: Matrix, stored: Stored | None) -> str:
    head = f"### {matrix.title}\n\n"
    if stored is None:
        return f"{head}`{matrix.name}`: {NOT_RUN}. It needs the agents of {', '.join(f'`{name}`' for name in matrix.agents)}."
    lines = []
    for agent in matrix.agents:
        cells = [bounded(measurement.agents[agent].value) for measurement in stored.measurements]
        lines.append([f"**`{agent}`**", *cells])
    for name in dict.fromkeys(name for measurement in stored.measurements for name in measurement.opponents):
        found = [measurement.opponents.get(name) for measurement in stored.measurements]
        lines.append([name, *("–" if one is None else bounded(one.value) for one in found)])
    lists = ", ".join(f"{one.title} `{one.task_hash[:12]}`" for one in stored.measurements)
    return (
        head
        + markdown([f"{matrix.measure} of", *(measurement.title for measurement in stored.measurements)], lines)
        + f"\n\n{stored.measurements[0].tasks:,} held-out tasks in each column; task lists: {lists}. `{stored.command}`, "
        f"{duration(stored.seconds)} on {machine_text(stored.machine)}."
    )


def _task_cell(row: Row) -> str:
    return f"{row.title} (`{row.name}`)"


def _readme_line(group: Group, row: Row, stored: Stored) -> list[str]:
    name, agent = only_agent(stored)
    measurement = stored.measurements[0]
    best = results_tables.strongest(measurement, row.measure, without=group.bounds)
    told = ("–", "–")
    if best is not None:
        told = f"{best[0]} {bounded(best[1].value)}", results_tables.difference_cell(best[1], name, row.measure)
    bounds = [f"{one} {bounded(measurement.opponents[one].value)}" for one in group.bounds if one in measurement.opponents]
    bounds = bounds or [
        f"{'≤ ' * (mark == 'bound')}{results_tables.references_of(row, mark)}"
        for mark in ("exact", "bound")
        if mark in row.references
    ]
    published = row.references.get("published", {}).get("RL²")
    what = f"{group.title}: {row.title}{', regret' * (row.measure == 'regret')} (`{row.name}`)"
    helped = ", with imitation" if row.kind == "with imitation" else ""
    return [
        what,
        f"**{bounded(agent.value)}**{helped}",
        *told,
        ", ".join(bounds) or "not known",
        "–" if published is None else f"{published:g}",
        results_tables.training_text(row, stored),
    ]
