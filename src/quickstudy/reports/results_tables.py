"""Cells and tables of the results page, as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quickstudy.evaluation.bench.rows import MARKS, Row
from quickstudy.evaluation.bench.stored import Measured, Measurement, Opponent, Stored
from quickstudy.evaluation.numbers import bounded, listed, number
from quickstudy.numerics.statistics import Estimate

NOT_RUN = "not run"

SIGNS = {"win": "▲", "tie": "≈", "loss": "▼"}
"""What our agent does against an opponent on the same tasks."""

WORDS = {"win": "better", "tie": "a tie", "loss": "worse"}


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(heads), ["---"] * len(heads), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def only_agent(stored: Stored) -> tuple[str, Measured]:
    """A row's agent and the name that it is shown under."""
    return next(iter(stored.measurements[0].agents.items()))


def target_of(row: Row, stored: Stored | None) -> str:
    """The target, and whether the mean reaches it."""
    if row.target is None:
        return "–"
    target = f"{'≤ ' if row.measure == 'regret' else ''}{row.target:g}"
    value = None if stored is None else only_agent(stored)[1].value.value
    if value is None:
        return target
    return f"{target}: reached" if row.reached(value) else f"{target}: missed by {number(abs(value - row.target))}"


def opponent_cell(measurement: Measurement, name: str, agent: str) -> str:
    """An opponent's mean, and how the agent does against it."""
    opponent = measurement.opponents.get(name)
    return "–" if opponent is None else f"{number(opponent.value.value)} {SIGNS[opponent.outcomes[agent]]}"


def strongest(measurement: Measurement, measure: str, *, without: Sequence[str]) -> tuple[str, Opponent] | None:
    """The opponent with the best mean among those that are no bounds."""
    left = {name: one for name, one in measurement.opponents.items() if name not in without}
    sign = -1.0 if measure == "regret" else 1.0
    return max(left.items(), key=lambda item: sign * (item[1].value.value or 0.0), default=None)


def difference_cell(opponent: Opponent, agent: str, measure: str) -> str:
    """The agent's value minus an opponent's, in the row's measure, with what that means."""
    difference = opponent.differences[agent]
    if measure == "regret":  # a return that is higher is a regret that is lower
        value, low, high = (None if x is None else -x for x in (difference.value, difference.high, difference.low))
        difference = Estimate(value=value, low=low, high=high)
    return f"{bounded(difference, signed=True)}, {WORDS[opponent.outcomes[agent]]}"


def references_of(row: Row, mark: str) -> str:
    """The references of one mark, as text."""
    return ", ".join(f"{method} {value:g}" for method, value in row.references.get(mark, {}).items()) or "–"


def marks_of(rows: Iterable[Row]) -> list[str]:
    """Marks that any of the rows has a reference of, the surest first."""
    used = {mark for row in rows for mark in row.references}
    return [mark for mark in MARKS if mark in used]


def machine_text(machine: Mapping[str, Any]) -> str:
    """A machine in a few words."""
    cores = f"{machine['cores']} cores ({machine['processor']})"
    return cores if machine["platform"] == "cpu" else f"{machine['device']}, {cores}"


def commands_text(stored: Stored) -> str:
    """The command that trains the agent, and the one that measured it where that was another."""
    made = stored.training.command if stored.training is not None else ""
    told = [f"`{command}`" for command in dict.fromkeys((made, stored.command)) if command]
    return ", measured by ".join(told)


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def steps_text(steps: int) -> str:
    """Environment steps as people read them."""
    return f"{steps / 1e6:.3g} M" if steps >= 1e6 else f"{steps / 1e3:.3g} k"


def training_text(row: Row, stored: Stored) -> str:
    """How the agent was trained, in a few words."""
    if row.bundle is not None:
        return f"the agent of `{row.bundle}`"
    made = stored.training
    if made is None:
        return "not recorded"
    seeds = f"{made.seeds} seeds" if made.seeds > 1 else "1 seed"
    if made.steps is None or made.seconds is None or made.machine is None:
        return f"{seeds}, steps and time not recorded"
    trained_on, measured_on = machine_text(made.machine), machine_text(stored.machine)
    where = "" if trained_on == measured_on else f" on {trained_on}"
    return f"{seeds}, {steps_text(made.steps)} steps each, {duration(made.seconds)}{where}"


def learning_curve(stored: Stored) -> str:
    """The curve of a training, in words; empty where it is not known."""
    curve = stored.training.curve if stored.training is not None else ()
    if not curve:
        return ""
    points = curve[:: max(1, len(curve) // 5)]
    told = [f"{number(value)} at {steps_text(steps)}" for steps, value in (*points, *([curve[-1]] * (points[-1] != curve[-1])))]
    return f"Held-out return while it was trained: {listed(told)} steps."
