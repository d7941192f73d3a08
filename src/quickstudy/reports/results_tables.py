"""Cells of the results page: values, differences, targets, machines and trainings as short text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quickstudy.evaluation.bench.rows import MARKS, Row
from quickstudy.evaluation.bench.stored import Measured, Measurement, Opponent, Stored
from quickstudy.evaluation.numbers import bounded, duration, listed, number, short_count
from quickstudy.numerics.statistics import Estimate

NOT_RUN = "not run"

SIGNS = {"win": "▲", "tie": "≈", "loss": "▼"}
"""The agent is better than the baseline, not significantly different from it, or worse."""

WORDS = {"win": "better", "tie": "tie", "loss": "worse"}

_CURVE_POINTS = 5


def only_agent(stored: Stored) -> tuple[str, Measured]:
    """The agent of a row, and the name that the page shows."""
    return next(iter(stored.measurements[0].agents.items()))


def target_of(row: Row, stored: Stored | None) -> str:
    """The target in the unit of the row's measure, and whether the mean reaches it."""
    if row.target is None:
        return "–"
    target = f"{'≤ ' if row.measure == 'regret' else ''}{row.target:g}"
    value = None if stored is None else only_agent(stored)[1].value.value
    if value is None:
        return target
    return f"{target}: reached" if row.reached(value) else f"{target}: missed by {number(abs(value - row.target))}"


def ranked_baselines(measurement: Measurement, measure: str) -> list[tuple[str, Opponent]]:
    """Baselines with their names, the best mean first: the highest return, or the lowest regret."""
    sign = 1.0 if measure == "regret" else -1.0
    return sorted(measurement.opponents.items(), key=lambda one: sign * (one[1].value.value or 0.0))


def strongest(measurement: Measurement, measure: str, *, without: Sequence[str]) -> tuple[str, Opponent] | None:
    """The baseline with the best mean; `without` names the upper bounds, which are no baselines. None if there is none."""
    left = [one for one in ranked_baselines(measurement, measure) if one[0] not in without]
    return left[0] if left else None


def difference_of(baseline: Opponent, agent: str, measure: str) -> Estimate:
    """The agent's value minus the baseline's, in the row's measure; a stored difference is always one of returns."""
    difference = baseline.differences[agent]
    if measure != "regret":
        return difference
    value, low, high = (None if x is None else -x for x in (difference.value, difference.high, difference.low))
    return Estimate(value=value, low=low, high=high)


def signed_difference(baseline: Opponent, agent: str, measure: str) -> str:
    """The difference with its interval and its sign: `−0.662 [−0.951, −0.416] ▼`."""
    return f"{bounded(difference_of(baseline, agent, measure), signed=True)} {SIGNS[baseline.outcomes[agent]]}"


def marks_of(rows: Iterable[Row]) -> list[str]:
    """The kinds of references that any of the rows has, the surest first."""
    used = {mark for row in rows for mark in row.references}
    return [mark for mark in MARKS if mark in used]


def machine_text(machine: Mapping[str, Any]) -> str:
    """A machine in a few words."""
    cores = f"{machine['cores']} cores ({machine['processor']})"
    return cores if machine["platform"] == "cpu" else f"{machine['device']}, {cores}"


def commands_text(stored: Stored) -> str:
    """The command that trains the agent, and the command that measured it if that was another."""
    trained = stored.training.command if stored.training is not None else ""
    shown = [f"`{command}`" for command in dict.fromkeys((trained, stored.command)) if command]
    return ", measured by ".join(shown)


def training_text(row: Row, stored: Stored) -> str:
    """How the agent was trained: seeds, environment steps of each, wall-clock, and the machine if it was another."""
    if row.bundle is not None:
        return f"uses the agent of `{row.bundle}`"
    made = stored.training
    if made is None:
        return "training not recorded"
    seeds = f"{made.seeds} seeds" if made.seeds > 1 else "1 seed"
    if made.steps is None or made.seconds is None or made.machine is None:
        return f"{seeds}, steps and time not recorded"
    trained_on, measured_on = machine_text(made.machine), machine_text(stored.machine)
    where = "" if trained_on == measured_on else f" on {trained_on}"
    return f"{seeds}, {short_count(made.steps)} steps each, {duration(made.seconds)}{where}"


def learning_curve(stored: Stored) -> str:
    """The held-out return at a few points of the training, as a sentence; empty if it is not known."""
    curve = stored.training.curve if stored.training is not None else ()
    if not curve:
        return ""
    points = list(curve[:: max(1, len(curve) // _CURVE_POINTS)])
    points += [curve[-1]] if points[-1] != curve[-1] else []
    shown = listed(f"{number(value)} at {short_count(steps)}" for steps, value in points)
    return f"Held-out return during training: {shown} steps."
