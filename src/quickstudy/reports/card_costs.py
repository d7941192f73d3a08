"""The parts of a card on costs: memory, operations and energy of a decision, and what the training took."""

from quickstudy.evaluation.agent_record import AgentRecord
from quickstudy.evaluation.numbers import byte_size, counted, duration
from quickstudy.protocol.printable import printable
from quickstudy.reports import markdown


def cost_part(record: AgentRecord) -> str:
    """Memory, parameters, and what a decision and an adaptation compute. These numbers are counted, not measured."""
    memory = f"{record.memory_bytes:,} bytes"
    if record.memory_bytes >= 1024:
        memory += f" ({byte_size(record.memory_bytes)})"
    first = f"One lifetime needs {memory} of memory. The agent has {record.parameters:,} parameters."
    if record.costs is None:
        return markdown.paragraph(f"{first} It uses an operation that is not counted, so operations and energy are not known.")
    heads = ["counted, not measured", "one decision", f"one adaptation, after {counted(record.cadence, 'step')}"]
    rows = [
        ["multiply-adds", *(f"{one.multiply_adds:,}" for one in record.costs)],
        ["other operations", *(f"{one.other:,}" for one in record.costs)],
        ["bytes read and written", *(f"{one.bytes_moved:,}" for one in record.costs)],
        ["energy in nJ", *(f"{one.nanojoules:,.0f}" for one in record.costs)],
    ]
    last = (
        "The energy is that of the operations on a 45 nm chip (Horowitz 2014). Use it to compare agents; it does not "
        "predict the life of a battery."
    )
    return markdown.join([markdown.paragraph(first), markdown.table(heads, rows), markdown.paragraph(last)])


def training_part(record: AgentRecord) -> str:
    """What the training took, its command, and all settings of the algorithm."""
    made = record.training
    name = record.card["algorithm"]["name"]
    rows = [
        ["algorithm", f"{markdown.code(name)}"],
        ["seeds", str(record.seeds)],
        ["budget of each seed", "not stored" if made.budget is None else markdown.shown(made.budget)],
        ["environment steps of each seed", "not stored" if made.steps is None else f"{made.steps:,}"],
        ["time of all seeds", "not stored" if made.seconds is None else f"{duration(made.seconds)} ({made.seconds:,.0f} s)"],
        [
            "machine",
            "not stored"
            if not made.machine
            else markdown.shown(", ".join(f"{k} {v}" for k, v in made.machine.items() if v != "")),
        ],
        [
            "versions",
            markdown.shown(", ".join(f"{package} {version}" for package, version in made.versions.items())) or "not stored",
        ],
    ]
    settings = [
        [f"{markdown.code(key)}", f"{markdown.code(markdown.setting(value))}"]
        for key, value in record.card["algorithm"]["config"].items()
    ]
    return markdown.join(
        [
            markdown.paragraph(markdown.shown(record.algorithm_says)),
            markdown.table(["training", ""], rows),
            f"Train again:\n\n{markdown.fenced(printable(made.command))}" if made.command else "The command is not stored.",
            markdown.folded("Settings of the algorithm", markdown.table(["setting", "value"], settings)) if settings else "",
        ]
    )
