"""`quickstudy export BUNDLE --to numpy`: the agent as files that decide and adapt without JAX."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from rich.table import Table
from rich.text import Text

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console, say
from quickstudy.export.export import LARGEST_DEVIATION, Exported, export_bundle
from quickstudy.export.parity import Parity
from quickstudy.protocol.printable import file_word
from quickstudy.protocol.setting_values import MOST_WHOLE, Range, Seed
from quickstudy.rollout.agent_costs import nanojoules
from quickstudy.storage.bundle import load_bundle

_USAGE = "quickstudy export RUN_OR_BUNDLE --to numpy [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """The target, and what is checked."""

    to: Literal["numpy", "c", "onnx", "litert"] = "numpy"
    """What the agent is written in.
    `numpy`: Python that needs NumPy only. `c`: C99 without allocation.
    `onnx`: an ONNX graph (extra `onnx`). `litert`: a LiteRT graph (extra `litert`)."""
    seed: Seed = 0
    """Which of the independently trained agents, from 0."""
    quantize: Literal["int8", "fp16"] | None = None
    """Store the matrices in fewer bits. `int8`: whole numbers, with one scale for each row. `fp16`: not for `c`."""
    check: Annotated[int, Range(least=0, most=MOST_WHOLE)] = 10_000
    """Steps that are compared with the agent in JAX; 0 leaves the comparison out."""
    bench: bool = False
    """Also measure the time of the compared steps, and of a call that does nothing."""
    folder: str | None = None
    """Where the files go. If not given: exported/NAME-TARGET, or exported/NAME-TARGET-TYPE if the matrices are quantised."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""


def run(arguments: list[str]) -> int:
    """Writes the files, checks them, and prints a table."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    asked = parse(
        ExportArguments, flags, program=_USAGE.partition(" --")[0], description="Writes an agent as files that run without JAX."
    )
    console = Console()
    bundle = load_bundle(words[0], algorithm=asked.algorithm)
    name = Path(words[0]).resolve().name
    held = f"-{asked.quantize}" if asked.quantize else ""
    folder = Path(asked.folder or Path("exported") / f"{file_word(name)}-{asked.to}{held}")
    with console.status(Text(f"writing {folder} ...")):
        exported = export_bundle(
            bundle,
            to=asked.to,
            folder=folder,
            name=name,
            seed=asked.seed,
            quantise=asked.quantize,
            check=asked.check,
            bench=asked.bench,
        )
    console.print(_table(exported))
    say(f"Saved in {folder}: {', '.join(sorted(exported.sizes))}")
    parity = exported.parity
    if parity is not None and not exported.repeats_the_agent:
        allowed = _allowed(parity, rounds_factors=exported.rounds_factors)
        say(f"The files do not repeat the agent: numbers of the policy differ by up to {parity.of_policy:.3g}. {allowed}")
        return 1
    return 0


def _allowed(parity: Parity, *, rounds_factors: bool) -> str:
    """How far the policy may be from that of the agent."""
    if rounds_factors:
        return f"Allowed is twice what matrices in 8 bits change it by, which is {parity.of_trained:.3g}."
    return (
        f"Allowed are {LARGEST_DEVIATION:g}, or twice what the agent in JAX differs if it is compiled step by step, which is "
        f"{parity.of_jax:.3g}."
    )


def _counted(exported: Exported) -> list[tuple[str, str]]:
    """What a decision and an adaptation compute and move."""
    if exported.cost is None:
        return []
    both = (exported.cost.decision, exported.cost.adaptation)
    numbers = {
        "multiply-adds": [f"{one.multiply_adds:,}" for one in both],
        "other operations": [f"{one.other:,}" for one in both],
        "bytes": [f"{one.bytes_read + one.bytes_written:,}" for one in both],
        "nJ": [f"{nanojoules(one):,.0f}" for one in both],
    }
    return [(f"counted {what}: decision, adaptation", f"{first}, {second}") for what, (first, second) in numbers.items()]


def _table(exported: Exported) -> Table:
    table = Table("measured", "value", title="Exported agent")
    table.add_row(
        "bytes of code and weights", f"{sum(size for file, size in exported.sizes.items() if 'vectors' not in file):,}"
    )
    table.add_row("bytes of weights on a device", f"{exported.weight_bytes:,}")
    for what, counted in _counted(exported):
        table.add_row(what, counted)
    parity = exported.parity
    if parity is None:
        return table
    for name, apart in parity.deviation.items():
        absolute = parity.absolute[name]
        table.add_row(f"largest deviation of {name}, {parity.steps:,} steps", f"{apart:.2g} (absolute {absolute:.2g})")
    if parity.of_jax is not None:
        table.add_row("largest deviation of the policy of the agent in JAX, compiled step by step", f"{parity.of_jax:.2g}")
    if parity.of_trained is not None:
        table.add_row("largest change of the policy by the matrices in fewer bits", f"{parity.of_trained:.2g}")
    if parity.check_value is not None:
        table.add_row("check value", parity.check_value)
    if parity.latency is not None:
        times = parity.latency
        table.add_row("one step, median and p99", f"{times.median:.1f} µs, {times.p99:.1f} µs")
        table.add_row("an empty call in the same run", f"{times.empty_median:.2f} µs, {times.empty_p99:.2f} µs")
    return table
