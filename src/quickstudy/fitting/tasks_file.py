"""The small Python file that a fit writes: a task distribution that trains like any other."""

import dataclasses
import json
from typing import Any

from quickstudy.fitting.results import Fitted
from quickstudy.protocol.printable import shell_word

_IN_A_LINE = 12
_TEMPLATE = '''"""Tasks like those of {source}, fitted by `quickstudy fit`.

    quickstudy check {place}
    quickstudy train rl2 {place} --budget 3m

The numbers below are all that was taken from the records. Change them where you know better.
"""

import quickstudy as qs
{constants}

def make({arguments}
) -> qs.TaskDistribution:
    """Tasks of the distribution `{distribution}` with fitted settings.

    Args:
{documented}
    """
    return qs.tasks.make(
        "{distribution}",
{passed}
    )
'''


def tasks_file(fitted: Fitted, *, path: str) -> str:
    """The text of the file.

    Args:
      fitted: the fit.
      path: of the file, for its own commands.
    """
    every = {**fitted.fitted, **fitted.chosen}
    long = {name: value for name, value in every.items() if isinstance(value, tuple)}
    named = {name: value for name, value in every.items() if not isinstance(value, tuple)}
    arguments = [f"    {name}: {type(value).__name__} = {_literal(value)}," for name, value in named.items()]
    documented = []
    for name in named:
        low_high = fitted.intervals.get(name)
        origin = "fitted" if name in fitted.fitted else "read off the table, or given"
        between = f"; 95 % interval {low_high[0]:.3g} to {low_high[1]:.3g}" if low_high else ""
        documented.append(f"      {name}: {origin}{between}.")
    return _TEMPLATE.format(
        source=_in_docstring(fitted.source),
        place=_in_docstring(shell_word(f"{path}:make")),
        distribution=fitted.distribution,
        arguments="\n    *,\n" + "\n".join(arguments),
        documented="\n".join(documented),
        constants=_item_names(fitted.item_names)
        + "".join(f"\n{name.upper()} = (\n{_rows(value)}\n)\n" for name, value in long.items()),
        passed="\n".join(f"        {name}={name.upper() if name in long else name}," for name in every),
    )


def report_json(fitted: Fitted) -> str:
    """The fit as JSON: settings, intervals, checks, and the name of each action's item, if actions show items."""
    return json.dumps(
        {
            "kind": fitted.kind,
            "source": fitted.source,
            "rows": fitted.rows,
            "tasks": fitted.tasks,
            "held_out": fitted.held_out,
            "fitted": dict(fitted.fitted),
            "chosen": dict(fitted.chosen),
            "intervals": {name: list(ends) for name, ends in fitted.intervals.items()},
            "matches": [dataclasses.asdict(one) | {"fits": one.fits} for one in fitted.matches],
            "notes": list(fitted.notes),
        }
        | ({"item_names": list(fitted.item_names)} if fitted.item_names else {}),
        indent=1,
        ensure_ascii=False,
    )


def _item_names(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    lines = "\n".join(f"    {name!r}," for name in names)
    return f'\nITEM_NAMES = (\n{lines}\n)\n"""Action 0 shows the first of these items, action 1 the second, and so on."""\n'


def _rows(values: tuple[float, ...]) -> str:
    """Numbers, a few in a line."""
    lines = [values[start : start + _IN_A_LINE] for start in range(0, len(values), _IN_A_LINE)]
    return "\n".join("    " + " ".join(f"{value:.4g}," for value in line) for line in lines)


def _in_docstring(text: str) -> str:
    return text.replace("\\", "/").replace('"""', "'''").replace("\n", " ")


def _literal(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) and value != int(value) else repr(value)
