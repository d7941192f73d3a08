"""The summary of an evaluation, as a table and in sentences. It names ties and losses as clearly as wins."""

from collections.abc import Callable

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quickstudy.evaluation.adaptation import agents_of, compared_ends
from quickstudy.evaluation.numbers import NOT_KNOWN, bounded, bounded_percent, byte_size, count, counted, listed, number
from quickstudy.evaluation.results import Evaluation, Result

THRESHOLD = "0.9"
"""The table shows the steps until this fraction of the way from floor to ceiling."""

WIDE = 140
"""A terminal of at least this many columns gets every measure."""

_MOST_NAMED = 5
_WORDS = {"win": "better than", "tie": "not significantly different from", "loss": "worse than"}
_ONLY_IF_WIDE = ("IQM", "regret", "P(better)", "memory", "µs/decision")
_FIRST_TO_GO = ("memory", "µs/decision", "IQM", "regret", "P(better)", "steps to 90 %", "score")
"""Columns that are left out, one after the other, where the table is wider than the terminal; the page has them."""
_UNBOUNDED = 10_000
_ENOUGH_SEEDS = 5


def subject(evaluation: Evaluation) -> str:
    """The contender that the summary is about: the reference if it is trained or none is, else the first trained one."""
    trained = [name for name, result in evaluation.results.items() if result.trained]
    return evaluation.reference if evaluation.reference in trained or not trained else trained[0]


def outcomes(evaluation: Evaluation, name: str) -> dict[str, list[str]]:
    """The other agents and baselines by how `name` compares with them: `"win"`, `"tie"` and `"loss"`."""
    found: dict[str, list[str]] = {"win": [], "tie": [], "loss": []}
    for other in agents_of(evaluation):
        comparison = evaluation.compare(name, other) if other != name else None
        if comparison is not None:
            found[comparison.outcome].append(other)
    return found


def headline(evaluation: Evaluation) -> str:
    """The summary in one sentence."""
    name = subject(evaluation)
    found = outcomes(evaluation, name)
    where = _where(evaluation)
    if not any(found.values()):
        return f"The mean return of {name} is {number(evaluation.results[name].lifetime_return.value)} on {where}."
    total = sum(map(len, found.values()))
    parts = []
    for kind, others in found.items():
        if others:
            shown = listed(others) if len(others) <= _MOST_NAMED else f"{len(others)} of {total} others"
            parts.append(f"{_WORDS[kind]} {shown}")
    return f"On {where}, {name} is {listed(parts)}."


def summary_sentences(evaluation: Evaluation) -> list[str]:
    """The summary in a few plain sentences, with the intervals that it rests on."""
    name = subject(evaluation)
    result = evaluation.results[name]
    sentences = []
    if not evaluation.held_out:
        sentences.append("These are TRAINING TASKS, not held-out tasks: the result says nothing about new tasks.")
    steps = counted(evaluation.lifetime_steps, "step")
    sentences.append(f"The mean return of {name} is {bounded(result.lifetime_return)} per lifetime of {steps}.")
    if result.normalised_score is not None:
        share = bounded_percent(result.normalised_score)
        sentences.append(f"This is {share} of the way from random actions to an agent that knows the task.")
    if evaluation.no_score:
        sentences.append(evaluation.no_score)
    for outcome, others in outcomes(evaluation, name).items():
        differences = [
            f"{other} ({bounded(comparison.difference, signed=True)})"
            for other in others
            if (comparison := evaluation.compare(name, other)) is not None
        ]
        if differences:
            sentences.append(f"It is {_WORDS[outcome]} {listed(differences)}.")
    return [*sentences, *nonfinite_sentences(evaluation), _of_seeds(result)]


def nonfinite_sentences(evaluation: Evaluation) -> list[str]:
    """A sentence for each contender some of whose steps the non-finite guard masked; the agent with the guard was measured."""
    return [
        f"Rewards or observations of {name} were not finite, or overflowed, on {_share_of_steps(evaluation, result)}. These "
        "steps are masked, as in training and in an Actor: they bring no reward and reach no memory."
        for name, result in evaluation.results.items()
        if result.nonfinite_steps
    ]


def _share_of_steps(evaluation: Evaluation, result: Result) -> str:
    return f"{result.nonfinite_steps:,} of at most {result.seeds * evaluation.tasks * evaluation.lifetime_steps:,} steps"


def summary_rows(evaluation: Evaluation) -> list[tuple[str, dict[str, str]]]:
    """The results as text: each contender's name and its cells by column, best return first."""
    rows = []
    for name, result in ranked(evaluation):
        comparison = evaluation.compare(name, evaluation.reference) if name != evaluation.reference else None
        cells = {
            "return": bounded(result.lifetime_return),
            "gain": NOT_KNOWN if result.gain is None else bounded(result.gain, signed=True),
            "IQM": bounded(result.interquartile_mean),
            "score": NOT_KNOWN if result.normalised_score is None else number(result.normalised_score.value, 3),
            "regret": NOT_KNOWN if result.regret is None else number(result.regret.value),
            f"minus {evaluation.reference}": NOT_KNOWN,
            "P(better)": NOT_KNOWN,
            "steps to 90 %": _steps(result),
            "memory": byte_size(result.memory_bytes),
            "µs/decision": _microseconds(result),
        }
        if comparison is not None:
            cells[f"minus {evaluation.reference}"] = bounded(comparison.difference, signed=True)
            cells["P(better)"] = number(comparison.probability_of_improvement.value, 2)
        rows.append((name, cells))
    return rows


def ranked(evaluation: Evaluation) -> list[tuple[str, Result]]:
    """Contenders by mean lifetime return, best first."""
    return sorted(evaluation.results.items(), key=lambda item: (-(item[1].lifetime_return.value or 0.0), not item[1].trained))


def table(evaluation: Evaluation, *, width: int = 80, say: Callable[[str], str] = str) -> Table:
    """The results for a terminal; the title names split, tasks and the task list's hash.

    Args:
      evaluation: to show.
      width: columns of the terminal.
      say: gives a text in other words than the usual ones.
    """
    rows = summary_rows(evaluation)
    shown = [column for column in rows[0][1] if width >= WIDE or column not in _ONLY_IF_WIDE]
    shown = [column for column in shown if any(cells[column] != NOT_KNOWN for _, cells in rows)]
    if width < WIDE:  # there is no room for its interval, which the sentences below the table tell
        rows = [(name, cells | {"gain": cells["gain"].partition(" [")[0]}) for name, cells in rows]
    drawn = _drawn(evaluation, rows, shown, say)
    for column in _FIRST_TO_GO:
        if Console(width=_UNBOUNDED).measure(drawn).minimum <= width:
            break
        shown = [one for one in shown if one != column]
        drawn = _drawn(evaluation, rows, shown, say)
    return drawn


def _drawn(
    evaluation: Evaluation, rows: list[tuple[str, dict[str, str]]], shown: list[str], say: Callable[[str], str]
) -> Table:
    title = (
        f"{evaluation.distribution['name']} · split {evaluation.split}: {evaluation.label}\n"
        f"{evaluation.tasks:,} tasks, task list {evaluation.task_hash[:12]}"
    )
    style = "bold" if evaluation.held_out else "bold red"
    drawn = Table(title=Text(title), title_style=style, box=box.SIMPLE_HEAD)
    drawn.title_justify = drawn.caption_justify = "left"
    drawn.caption = say(f"[ ] 95 % bootstrap interval over tasks and training seeds; gain: from {compared_ends(evaluation)}")
    drawn.add_column("agent", overflow="fold", min_width=8)
    for column in shown:
        heading = Text(say(column).replace(" to ", "\nto "))
        widest = max(cell_len(text) for text in (*heading.plain.splitlines(), *(cells[column] for _, cells in rows)))
        drawn.add_column(heading, justify="right", no_wrap=True, min_width=widest)
    for name, cells in rows:
        result = evaluation.results[name]
        # Text, because a name is no markup.
        agent = Text(f"{name} ({result.seeds} seeds)" if result.seeds > 1 else name)
        drawn.add_row(agent, *(Text(cells[column]) for column in shown), style="bold" if result.trained else "")
    return drawn


def _steps(result: Result) -> str:
    if THRESHOLD not in result.steps_to:
        return NOT_KNOWN
    value = result.steps_to[THRESHOLD].value
    return number(value, 0)


def _microseconds(result: Result) -> str:
    return number(result.decision_microseconds["median"], 0) if result.decision_microseconds else NOT_KNOWN


def _where(evaluation: Evaluation) -> str:
    many = count(evaluation.tasks)
    if not evaluation.held_out:
        return f"{many} TRAINING tasks (not held out)"
    if evaluation.split == "test":
        return f"{many} tasks never seen in training" if _any_trained(evaluation) else f"{many} test tasks"
    return f"{many} tasks {evaluation.label}"


def _any_trained(evaluation: Evaluation) -> bool:
    return any(result.trained for result in evaluation.results.values())


def _of_seeds(result: Result) -> str:
    """What the intervals cover."""
    if not result.trained:
        return "The intervals cover the tasks."
    if result.seeds == 1:
        return "Trained once: the intervals cover the tasks only. Another training run may do better or worse."
    few = f" With fewer than {_ENOUGH_SEEDS} seeds they are somewhat too narrow." if result.seeds < _ENOUGH_SEEDS else ""
    return f"Trained {result.seeds} times: the intervals cover the tasks and the training runs.{few}"
