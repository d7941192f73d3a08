"""How often the 95 % intervals of off-policy evaluation hold the true return, on a simulator that knows it.

    python benchmarks/off_policy.py

Sessions of a bandit are logged with an agent that adapts, and another agent that adapts is evaluated on the log. The table has
a line for each size of log. Columns are the estimators, and then estimates that are wrong on purpose.
"""

import dataclasses
import sys
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from numerics.off_policy_simulator import coverage

ASKED = {
    "150 sessions, 4 decisions": {"sessions": 150, "steps": 4, "target": (6.0, 0.1)},
    "500 sessions, 4 decisions": {"sessions": 500, "steps": 4, "target": (6.0, 0.1)},
    "200 sessions, 5 decisions, a bolder agent": {"sessions": 200, "steps": 5, "target": (12.0, 0.05)},
    "150 sessions of 2 equal rows, 3 decisions": {"sessions": 150, "steps": 3, "target": (6.0, 0.1), "copies": 2},
}
ESTIMATORS = ("IPS", "SNIPS", "DM", "DR", "SWITCH-DR", "DR, wrong model")
WRONG = ("DM, wrong model", "logged agent", "IPS, rows as sessions")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    repetitions: int = 500
    """Logs for each line."""
    seed: int = 0
    """Of the logs."""


def main():
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    table = Table(title=f"Coverage of nominal 95 % intervals in {settings.repetitions} logs", title_justify="left")
    for column in ("log", "effective sessions", "refused", *ESTIMATORS, *WRONG):
        table.add_column(column, justify="left" if column == "log" else "right")
    for name, asked in ASKED.items():
        found = coverage(**asked, repetitions=settings.repetitions, seed=settings.seed)
        cells = [f"{100 * found[column]:.1f}" for column in (*ESTIMATORS, *WRONG)]
        table.add_row(name, f"{found['effective']:.0f}", f"{100 * found['refused']:.1f}", *cells)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
