"""The README's tables: steps on a new task against PPO from scratch, and returns against the best classical method."""

from collections.abc import Mapping, Sequence

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed
from quickstudy.evaluation.bench.rows import Group, Row
from quickstudy.evaluation.bench.stored import Stored
from quickstudy.evaluation.numbers import bounded, censored_bounded, censored_number, number, percent
from quickstudy.reports import markdown
from quickstudy.reports import results_tables as cells
from quickstudy.reports.adaptation_speed_table import is_headline, outcome, overtaken, threshold_at

FOLDERS = {"navigation": "find a goal in the plane", "cart-pole": "balance a pole", "pendulum": "swing up a pendulum"}
"""Measurements of the first table, each with its words for a newcomer."""

_SPEEDS = """\
How many environment steps does a new task take? The table counts the steps until the return of an episode is {fraction}
of the way from random actions to the final return of PPO. `[ ]` is a 95 % interval; *tie*: it includes 1. In the last
column, PPO has the higher return from that step on (`> N`: not within N steps).

{table}
"""

_RETURNS = """\
Mean return of a lifetime on held-out tasks, against the best classical method on the same tasks.
*Tie*: the 95 % interval of the difference includes 0.

{table}
"""

_MORE = """\
All baselines, commands and seeds: [results](docs/results.md), [adaptation speed](docs/adaptation-speed.md).
`quickstudy bench run ROW` trains and measures a row again.
"""


def render_readme_block(
    groups: Sequence[Group], results: Mapping[str, Stored | None], speeds: Mapping[str, Sequence[AdaptationSpeed]]
) -> str:
    """The Markdown between the README's marks.

    Args:
      groups: of the bench; rows with `readme` words and a stored result get a line each.
      results: by name of the row; None if it was not run.
      speeds: measurements of adaptation speed by the name of their folder.
    """
    parts = []
    shown = [(words, one) for name, words in FOLDERS.items() for one in speeds.get(name, ()) if is_headline(one)]
    if shown:
        speed_heads = ("new task", "RL², meta-trained", "PPO from scratch", "speed-up of RL²", "PPO better from")
        parts.append(
            _SPEEDS.format(
                fraction=percent(threshold_at(shown[0][1]).fraction),
                table=markdown.table(speed_heads, [_speed_line(*one) for one in shown]),
            )
        )
    rows = [(group, row) for group in groups for row in group.entries if isinstance(row, Row) and row.readme]
    lines = [_return_line(group, row, stored) for group, row in rows if (stored := results[row.name]) is not None]
    if lines:
        heads = ("tasks", "agent", "best classical method", "difference")
        parts.append(_RETURNS.format(table=markdown.table(heads, lines)))
    return "\n".join([*parts, _MORE])


def _speed_line(words: str, one: AdaptationSpeed) -> list[str]:
    crossing = threshold_at(one).on_each_task
    speed_up = f"{outcome(one)}: {censored_bounded(crossing.speed_up)}"
    return [words, censored_number(crossing.agent), censored_number(crossing.baseline), speed_up, overtaken(one)]


def _return_line(group: Group, row: Row, stored: Stored) -> list[str]:
    name, agent = cells.only_agent(stored)
    best = cells.strongest(stored.measurements[0], row.measure, without=group.bounds)
    ours = f"{number(agent.value.value)} ({name})"
    if best is None:
        return [row.readme, ours, "–", "–"]
    difference = bounded(cells.difference_of(best[1], name, row.measure), signed=True)
    outcome = cells.WORDS[best[1].outcomes[name]]
    return [row.readme, ours, f"{number(best[1].value.value)} ({best[0]})", f"{outcome}: {difference}"]
