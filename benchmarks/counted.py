"""Operations, bytes and counted energy of one decision and one adaptation of every shipped agent.

    python benchmarks/counted.py

Nothing is run or timed: everything is counted from the traced functions (`src/quickstudy/programs/counting.py`). The numbers go
to `benchmarks/counted.json`, and the table of `docs/counted.md` is drawn from them.
"""

import dataclasses
import json
from pathlib import Path

from quickstudy.programs.counting import Counted
from quickstudy.rollout.agent_costs import agent_cost, nanojoules
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.storage.bundle import load_bundle

HERE = Path(__file__).parent
BUNDLES = HERE.parent / "bundles"
NUMBERS, PAGE = HERE / "counted.json", HERE.parent / "docs" / "counted.md"
MARKS = ("<!-- counted: python benchmarks/counted.py -->\n", "<!-- end of what was counted -->")
HEAD = ("agent", "algorithm", "parameters", "read by a decision", "changed by adaptation", "decision: multiply-adds", "other",
        "bytes", "nJ", "adaptation: every", "multiply-adds", "other", "bytes", "nJ")  # fmt: skip


def counted(name):
    """What was counted of a shipped agent, as plain data."""
    bundle = load_bundle(BUNDLES / name)
    cost = agent_cost(with_nonfinite_guard(bundle.agent), bundle.params_of(0))
    return {"algorithm": bundle.card["algorithm"]["name"]} | dataclasses.asdict(cost)


def table(results):
    """The table of the page, in Markdown."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for name, one in sorted(results.items(), key=lambda item: (item[1]["algorithm"], item[0])):
        share = 100 * one["changed"] / one["read_by_decision"]
        every = f"{one['cadence']:,} step{'s' if one['cadence'] > 1 else ''}"
        numbers = (f"{one['parameters']:,}", f"{one['read_by_decision']:,}", f"{one['changed']:,} ({share:.1f} %)")
        rows.append((name, f"`{one['algorithm']}`", *numbers, *_cells(one["decision"]), every, *_cells(one["adaptation"])))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cells(found):
    moved = found["bytes_read"] + found["bytes_written"]
    return (f"{found['multiply_adds']:,}", f"{found['other']:,}", f"{moved:,}", f"{nanojoules(Counted(**found)):,.0f}")


def page_with(text, results):
    """The page with the table of these results in the place of the old one."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(results) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main():
    """Counts every shipped agent, and writes numbers and table."""
    results = {path.parent.name: counted(path.parent.name) for path in sorted(BUNDLES.glob("*/bundle.json"))}
    NUMBERS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page_with(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
