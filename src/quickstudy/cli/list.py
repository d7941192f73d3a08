"""`quickstudy list`: what there is."""

import inspect

from rich.table import Table

from quickstudy import algorithms, tasks
from quickstudy.cli.arguments import parse_nothing
from quickstudy.cli.console import Console
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.protocol.registry import resolve


def run(arguments: list[str]) -> int:
    """Prints algorithms and task distributions, a line each."""
    parse_nothing(arguments, program="quickstudy list", description="Lists algorithms and task distributions.")
    console = Console()
    table = Table("algorithm", "what it is", title="Algorithms", title_justify="left")
    for name in algorithms.ALGORITHMS:
        module = inspect.getmodule(resolve("algorithm", name, algorithms.ALGORITHMS))
        table.add_row(name, _first_line(module))
    console.print(table)
    table = Table(title="Task distributions", title_justify="left")
    # Names that are typed stay whole on a narrow terminal; what is left of its width goes to the words.
    for column in ("distribution", "what it is", "splits", "baselines"):
        table.add_column(column, no_wrap=column in ("distribution", "splits"))
    for name in tasks.DISTRIBUTIONS:
        module = inspect.getmodule(resolve("task distribution", name, tasks.DISTRIBUTIONS))
        try:
            distribution = tasks.make(name)
        except MissingExtraError as missing:
            table.add_row(name, f"{_first_line(module)} {missing}")
        else:
            table.add_row(name, _first_line(module), "\n".join(distribution.splits), ", ".join(distribution.baselines))
    console.print(table)
    console.print("A distribution of your own goes by its file, as in my_tasks.py:make, wherever a name is asked for.")
    return 0


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
