"""The small Python file that a fit writes: a task distribution that trains like any other."""

import dataclasses
import json

from quickstudy.fitting.results import Fitted

_TEMPLATE = '''"""Tasks like those of {source}, fitted by `quickstudy fit`.

    quickstudy check {path}:make
    quickstudy train rl2 {path}:make --budget 3m

The numbers below are all that was taken from the records. Change them where you know better.
"""

import quickstudy as qs


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
    named = {**fitted.fitted, **fitted.chosen}
    arguments = [f"    {name}: {type(value).__name__} = {_literal(value)}," for name, value in named.items()]
    documented = []
    for name in named:
        low_high = fitted.intervals.get(name)
        origin = "fitted" if name in fitted.fitted else "read off the table, or given"
        between = f"; 95 % interval {low_high[0]:.3g} to {low_high[1]:.3g}" if low_high else ""
        documented.append(f"      {name}: {origin}{between}.")
    return _TEMPLATE.format(
        source=fitted.source.replace("\\", "/").replace('"""', "'''"),
        path=path,
        distribution=fitted.distribution,
        arguments="\n    *,\n" + "\n".join(arguments),
        documented="\n".join(documented),
        passed="\n".join(f"        {name}={name}," for name in named),
    )


def report_json(fitted: Fitted) -> str:
    """The fit as JSON: settings, intervals and checks."""
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
        },
        indent=1,
        ensure_ascii=False,
    )


def _literal(value: float | int | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) and value != int(value) else repr(value)
