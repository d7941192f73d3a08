"""Tables of a readout's accuracy, for a terminal."""

from collections.abc import Sequence

from rich.table import Table

from quickstudy.evaluation.belief_probe.calibration import Calibration
from quickstudy.evaluation.numbers import NOT_KNOWN, count, percent


def coverage_table(found: Sequence[Calibration]) -> Table:
    """Coverage of the credible sets: a line for each split, parameter and level."""
    table = Table("split", "parameter", "level", "coverage", "early", "late", title="Credible sets", title_justify="left")
    for one in found:
        for coverage in one.coverage:
            parts = (percent(value, 1) for value in (coverage.overall, coverage.by_moment[0], coverage.by_moment[-1]))
            table.add_row(one.split, coverage.name, percent(coverage.level), *parts)
    return table


def alarm_table(found: Sequence[Calibration]) -> Table:
    """Alarms: a line for each split and kind of p-value; a dash where at most half of the tasks have one."""
    heads = ("split", "p-value of", "steps with an alarm", "tasks with an alarm", "median step of the first")
    table = Table(*heads, title="Alarms", title_justify="left")
    for one in found:
        for alarms in one.alarms:
            delay = NOT_KNOWN if alarms.delay is None else count(alarms.delay)
            kind = alarms.kind.replace("_", " ")
            table.add_row(one.split, kind, percent(alarms.steps, 2), percent(alarms.tasks), delay)
    return table
