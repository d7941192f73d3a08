"""The card of an agent: a page in Markdown that says what it is for, what was measured, and what it must not be used for.

Every number on it was stored by a measurement, or is counted from the agent. Losses are shown as plainly as wins.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from quickstudy.evaluation.agent_record import AgentRecord, agent_record
from quickstudy.evaluation.measured_agent import MeasuredResult, Opposed
from quickstudy.evaluation.numbers import bounded, counted
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import printable
from quickstudy.reports import markdown
from quickstudy.reports.card_costs import cost_part, training_part
from quickstudy.reports.front_matter import front_matter, metadata
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.card import bundle_folder
from quickstudy.storage.results_folder import check_results_folder

FILE = "README.md"
MARK = "<!-- written by: quickstudy card -->"
"""A line of every card, so that a page that somebody wrote is never replaced."""

_OUTCOMES = {
    "win": "better",
    "tie": "no significant difference",
    "loss": "**worse**",
    None: "not compared",
}


def write_card(
    path: str | Path,
    *,
    folder: str | Path | None = None,
    algorithm: str | None = None,
    checkout: str | Path | None = None,
    name: str | None = None,
) -> Path:
    """Writes the card of an agent as `README.md`, and returns its path.

    Args:
      path: of the bundle's folder, or of the run's folder that holds it.
      folder: to write into; that of the bundle if None.
      algorithm: `PATH.py:FUNCTION` of an agent whose algorithm is not registered.
      checkout: a folder with `results/rows`; the nearest above the bundle if None.
      name: of the agent; that of the folder if None.
    Raises:
      BundleError: the bundle cannot be loaded.
      UsageError: nothing was measured, a stored number is not finite, results of the same tasks differ, or the folder holds
        a README.md that is no card.
    """
    record = agent_record(path, algorithm=algorithm, checkout=None if checkout is None else Path(checkout), name=name)
    to = bundle_folder(path) if folder is None else Path(folder)
    check_results_folder(to, flag="--out")
    page = to / FILE
    if page.exists() and (not page.is_file() or MARK not in page.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(f"{page} is there, and is no card that this command wrote. Name another folder with --out.")
    write_atomically(page, render_card(record))
    return page


def render_card(record: AgentRecord) -> str:
    """The whole card as Markdown, with its metadata in front.

    Args:
      record: of the agent.
    """
    parts = [
        front_matter(metadata(record)),
        MARK,
        f"# {markdown.shown(record.name)}",
        _opening(record),
        "## Tasks that it was trained on",
        _tasks(record),
        "## Results",
        _about_results(record),
        *(_result(one) for one in record.results),
        "## What it must not be used for",
        "\n".join(markdown.item(sentence) for sentence in _limits(record)),
        "## Memory and cost of a decision",
        cost_part(record),
        "## Training",
        training_part(record),
        "## Envelope",
        _envelope(record),
        "## Use",
        _use(record),
    ]
    return markdown.join(parts) + "\n"


def _opening(record: AgentRecord) -> str:
    spec, origin = record.card["spec"], markdown.code(record.card["distribution"]["name"])
    steps = counted(spec["horizon"] * spec["episodes"], "step")
    return markdown.paragraph(
        f"An agent that learns a new task of {origin} while it acts. A lifetime on one task has {steps} in "
        f"{counted(spec['episodes'], 'episode')}. It was meta-trained with {markdown.code(record.card['algorithm']['name'])} "
        f"of quickstudy. The bundle holds {counted(record.seeds, 'independently trained agent')}."
    )


def _tasks(record: AgentRecord) -> str:
    origin = record.card["distribution"]
    rows = [
        [
            f"{markdown.code(name)}",
            f"{markdown.code(markdown.setting(value))}",
            markdown.shown(record.setting_says.get(name, "")),
        ]
        for name, value in origin["config"].items()
    ]
    spec = record.card["spec"]
    rows += [[part, f"{markdown.code(markdown.setting(spec[f'{part}_space']))}", ""] for part in ("observation", "action")]
    told = markdown.folded(
        f"How {markdown.shown(origin['name'])} draws tasks, and its splits", markdown.fenced(record.tasks_in_full)
    )
    return markdown.join(
        [
            markdown.paragraph(
                f"{markdown.code(origin['name'])}: {markdown.shown(record.tasks_say or 'tasks of a file of the user.')}"
            ),
            markdown.table(["setting", "value", "meaning"], rows),
            told if record.tasks_in_full else "",
        ]
    )


def _about_results(record: AgentRecord) -> str:
    one_seed = "" if record.seeds > 1 else " The agent was trained once, so they say nothing about other training runs."
    return markdown.paragraph(
        "Agent and baselines solve the same tasks with common random numbers. `[ ]` is a 95 % bootstrap interval over tasks "
        f"and training seeds.{one_seed} *Difference* is the agent minus the other. There is *no significant difference* where "
        "its interval includes 0. All numbers are stored measurements; the head of this file has them in full."
    )


def _result(one: MeasuredResult) -> str:
    seeds = "" if one.seeds is None else f", {counted(one.seeds, 'training seed')}"
    rows = [["**this agent**", f"**{bounded(one.value)}**", "", ""]]
    rows += [[_name(other), bounded(other.value), _difference(other), _OUTCOMES[other.outcome]] for other in one.opponents]
    told = [
        f"{one.tasks:,} tasks{seeds}. Task list {markdown.code(one.task_hash[:12])}. Stored in {markdown.code(one.source)}."
    ]
    if not one.opponents:
        told.append("No baseline was measured on these tasks.")
    for outcome, verb in (("loss", "Worse than"), ("tie", "No significant difference from"), ("win", "Better than")):
        if one.of(outcome):
            told.append(f"{verb}: {', '.join(_name(other) for other in one.of(outcome))}.")
    return markdown.join(
        [
            f"### {_where(one)}",
            markdown.table(["agent or baseline", f"mean {one.measure}", "difference", "this agent is"], rows),
            markdown.paragraph(" ".join(told)),
            _command("Measure again:", one.command),
        ]
    )


def _limits(record: AgentRecord) -> Iterator[str]:
    """What the agent must not be used for, in sentences."""
    for one in record.results:
        better = [other for other in one.of("loss") if not other.is_bound]
        if better:
            names = ", ".join(f"{_name(other)} ({_difference(other)})" for other in better)
            yield f"{_where(one)}: the agent loses here. Use one of these instead: {names}."
    for one in record.results:
        if not one.opponents:
            yield f"{_where(one)}: no baseline was measured, so nothing shows that the agent is the right choice."
    spec, origin = record.card["spec"], markdown.code(record.card["distribution"]["name"])
    yield (
        f"Tasks that {origin} does not draw with the settings above: the agent was never trained on any. Only the results "
        "above tell how it does elsewhere."
    )
    if not any(one.split not in ("train", "test") for one in record.results):
        yield f"Tasks out of the training distribution: no other split of {origin} was measured."
    episodes, horizon = counted(spec["episodes"], "episode"), counted(spec["horizon"], "step")
    yield f"Lifetimes of other lengths than {episodes} of {horizon}, unless they were measured above."
    if record.envelope is None:
        yield "Decisions that can do harm: no envelope lies beside this bundle, so nothing limits its actions."


def _where(one: MeasuredResult) -> str:
    config = ", ".join(f"{name} {markdown.setting(value)}" for name, value in one.settings.items())
    within = f" ({markdown.shown(config)})" if config else ""
    return f"Split {markdown.code(one.split)} of {markdown.shown(one.distribution)}{within}"


def _envelope(record: AgentRecord) -> str:
    if record.envelope is None:
        return "No envelope lies beside this bundle. An envelope limits what a deployed agent may do."
    rules = json.dumps(record.envelope["rules"], indent=2, ensure_ascii=False)
    return markdown.join(
        [
            f"These rules limit what the deployed agent may do. Their digest begins with `{record.envelope['digest'][:12]}`.",
            markdown.fenced(rules),
        ]
    )


def _use(record: AgentRecord) -> str:
    lines = [
        "import quickstudy as qs",
        "",
        'bundle = qs.load_bundle("FOLDER")  # the folder of this file, with bundle.json and parameters.safetensors',
        "agent, params = bundle.agent, bundle.params_of(0)",
    ]
    return markdown.join(
        ["```python\n" + "\n".join(lines) + "\n```", _command("Serve sessions over HTTP:", "quickstudy serve FOLDER")]
    )


def _name(other: Opposed) -> str:
    return f"{markdown.shown(other.name)}{' (upper bound)' if other.is_bound else ''}"


def _difference(other: Opposed) -> str:
    return "" if other.difference is None else bounded(other.difference, signed=True)


def _command(says: str, command: str) -> str:
    return f"{says}\n\n{markdown.fenced(printable(command))}" if command else ""
