"""`quickstudy export BUNDLE --to numpy`: the agent as files that decide and adapt without JAX."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from rich.table import Table
from rich.text import Text

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console, say
from quickstudy.export.export import LARGEST_DEVIATION, Exported, export_bundle
from quickstudy.protocol.printable import file_word
from quickstudy.protocol.setting_values import MOST_WHOLE, Range, Seed
from quickstudy.storage.bundle import load_bundle

_USAGE = "quickstudy export RUN_OR_BUNDLE --to numpy [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """The target, and what is checked."""

    to: Literal["numpy", "c", "onnx"] = "numpy"
    """What the agent is written in: Python with NumPy alone, C99 without allocation, or an ONNX graph (extra `onnx`)."""
    seed: Seed = 0
    """Which of the independently trained agents, from 0."""
    check: Annotated[int, Range(least=0, most=MOST_WHOLE)] = 10_000
    """Steps that are compared with the agent in JAX; 0 leaves the comparison out."""
    bench: bool = False
    """Time the compared steps too, beside a call that does nothing."""
    folder: str | None = None
    """Where the files go; exported/NAME-TARGET if not given."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""


def run(arguments: list[str]) -> int:
    """Writes the files, checks them, and prints a table."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    asked = parse(ExportArguments, flags, program=_USAGE.partition(" --")[0], description="Writes an agent to run without JAX.")
    console = Console()
    bundle = load_bundle(words[0], algorithm=asked.algorithm)
    name = Path(words[0]).resolve().name
    folder = Path(asked.folder or Path("exported") / f"{file_word(name)}-{asked.to}")
    with console.status(Text(f"writing {folder} ...")):
        exported = export_bundle(
            bundle, to=asked.to, folder=folder, name=name, seed=asked.seed, check=asked.check, bench=asked.bench
        )
    console.print(_table(exported))
    say(f"Saved in {folder}: {', '.join(sorted(exported.sizes))}")
    parity = exported.parity
    if parity is not None and not exported.repeats_the_agent:
        say(
            f"The files do not repeat the agent: numbers of the policy differ by up to {parity.of_policy:.3g}. Allowed are "
            f"{LARGEST_DEVIATION:g}, or twice what the agent in JAX differs from itself, {parity.of_jax:.3g}."
        )
        return 1
    return 0


def _table(exported: Exported) -> Table:
    table = Table("measured", "value", title="Exported agent")
    table.add_row(
        "bytes of code and weights", f"{sum(size for file, size in exported.sizes.items() if 'vectors' not in file):,}"
    )
    parity = exported.parity
    if parity is None:
        return table
    for name, apart in parity.deviation.items():
        absolute = parity.absolute[name]
        table.add_row(f"largest deviation of {name}, {parity.steps:,} steps", f"{apart:.2g} (absolute {absolute:.2g})")
    if parity.of_jax is not None:
        table.add_row("largest deviation of the policy of the agent in JAX from itself", f"{parity.of_jax:.2g}")
    if parity.check_value is not None:
        table.add_row("check value", parity.check_value)
    if parity.latency is not None:
        times = parity.latency
        table.add_row("one step, median and p99", f"{times.median:.1f} µs, {times.p99:.1f} µs")
        table.add_row("an empty call in the same run", f"{times.empty_median:.2f} µs, {times.empty_p99:.2f} µs")
    return table
