"""The page of adaptation speeds, drawn from the measurements under `results/adaptation-speed`; nothing on it is typed."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Threshold
from quickstudy.evaluation.numbers import bounded, number
from quickstudy.numerics.statistics import CensoredEstimate
from quickstudy.reports.adaptation_speed_table import censored, plain, sentences
from quickstudy.reports.results_tables import markdown
from quickstudy.storage.atomic import write_atomically

PAGE = Path("docs") / "adaptation-speed.md"
MEASURED = Path("results") / "adaptation-speed"
"""One folder for each distribution of tasks, with what `quickstudy speed ... --folder` wrote."""

FRACTION = 0.75
"""The threshold that the tables are of."""

_HEAD = """# Adaptation speed

How many times fewer environment steps does a meta-trained agent need on a new task than one that learns it from scratch, or
than one that was trained on all tasks and is fine-tuned? This page is drawn by `quickstudy bench page` from the measurements
under [results/adaptation-speed](../results/adaptation-speed);
`quickstudy speed BUNDLE ... --against ppo BUNDLE --folder results/adaptation-speed/NAME` makes them
again. [Measuring](measuring.md#adaptation-speed) says what each number means.

- Everybody lives on the same held-out tasks. Thresholds are set on the opponent's own curve: {fraction:.0%} of its way from
  acting at random to where it ends. Steps and speed-ups are medians over tasks and seeds; `[ ]` are 95 % bootstrap intervals
  over both. `> N`: not within its N steps. `unknown`: on most tasks the opponent itself does not learn.
- *Own end* and *opponent's end* are mean returns of an episode over the last tenth of the own lifetime: quick but lower in the
  end shows there, and in *overtaken*, the step from which on the opponent stays above.
- *Worth of reward*: what is lost when the agent adapts on rewards that others earned. Where its interval holds 0, what the
  agent does is no adaptation to reward.
- `ppo` learns from scratch, with settings that were chosen on training tasks (`python benchmarks/tune_ppo.py`); `multi-task` is
  one policy for all tasks, fine-tuned by the same rule.
"""


def load_speeds(folder: Path) -> dict[str, list[AdaptationSpeed]]:
    """Every measurement below a checkout, by the name of its folder; in the order of agents, opponents and splits.

    Raises:
      UsageError: a file holds none.
    """
    found = {}
    for place in sorted(path for path in (folder / MEASURED).glob("*") if path.is_dir()):
        speeds = [AdaptationSpeed.load(path) for path in sorted(place.glob("*.json"))]
        found[place.name] = sorted(speeds, key=lambda one: (one.agent.name, one.baseline.name, one.split != "test", one.split))
    return found


def render_speeds(speeds: dict[str, list[AdaptationSpeed]]) -> str:
    """The whole page."""
    parts = [_HEAD.format(fraction=FRACTION)]
    for name, measured in speeds.items():
        if measured:
            parts += [_place(name, measured)]
    return "\n".join(parts)


def write_speed_page(folder: Path) -> Path:
    """Draws the page below a checkout, and gives its path."""
    write_atomically(folder / PAGE, render_speeds(load_speeds(folder)))
    return folder / PAGE


def _place(name: str, measured: Sequence[AdaptationSpeed]) -> str:
    one = measured[0]
    settings = ", ".join(f"{key} {value}" for key, value in one.distribution["config"].items() if key != "episodes")
    parts = [
        f"## {name.replace('-', ' ').capitalize()}",
        f"`{one.distribution['name']}` with {settings}. {one.tasks} tasks of each split, {one.lifetimes} lifetimes of each "
        f"seed on each; {'; '.join(_lives(measured))}.",
        _overview(measured),
        _details(measured),
        "\n".join(_told(measured)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lives(measured: Sequence[AdaptationSpeed]) -> list[str]:
    """Who lives for how long, and what meta-training took."""
    told = {}
    for one in measured:
        trained = (
            "" if one.meta_training_steps is None else f", meta-trained for {one.meta_training_steps:,} steps of each seed"
        )
        told[one.agent.name] = f"`{one.agent.name}` {one.agent.episodes} episodes, {one.agent.seeds} seeds{trained}"
        told.setdefault(one.baseline.name, f"`{one.baseline.name}` {one.baseline.episodes} episodes")
    return list(told.values())


def _overview(measured: Sequence[AdaptationSpeed]) -> str:
    """Speed-ups: a line for each agent and opponent, a column for each split."""
    splits = list(dict.fromkeys(one.split for one in sorted(measured, key=lambda one: (one.split != "test", one.split))))
    lines = []
    for (agent, baseline), group in itertools.groupby(measured, key=lambda one: (one.agent.name, one.baseline.name)):
        by_split = {one.split: one for one in group}
        cells = [censored(_at(by_split[split]).on_each_task.speed_up) if split in by_split else "–" for split in splits]
        lines.append([f"**`{agent}`** over `{baseline}`", *cells])
    return markdown([f"times faster, at {FRACTION:.0%}", *(f"`{split}`" for split in splits)], lines)


def _details(measured: Sequence[AdaptationSpeed]) -> str:
    heads = ("agent over opponent", "split", "steps", "opponent's steps", "first episode", "own end", "opponent's end",
             "overtaken", "worth of reward")  # fmt: skip
    lines = []
    for one in measured:
        crossing = _at(one).on_each_task
        lines.append([
            f"`{one.agent.name}` over `{one.baseline.name}`",
            f"`{one.split}`",
            plain(crossing.agent),
            plain(crossing.baseline),
            number(one.agent.curve.value[0]),
            bounded(one.agent.asymptote),
            bounded(one.baseline.asymptote),
            _overtaken(one),
            "–" if one.gain_from_reward is None else bounded(one.gain_from_reward, signed=True),
        ])  # fmt: skip
    return markdown(heads, lines)


def _told(measured: Sequence[AdaptationSpeed]) -> list[str]:
    """Where meta-learning does not pay, and the verdicts on `test`."""
    lines = []
    slow = [f"`{one.agent.name}` over `{one.baseline.name}` on `{one.split}`" for one in measured if not _pays(one)]
    if slow:
        lines.append(f"- **Not shown to pay** (the interval of the speed-up holds 1, or it is not known): {', '.join(slow)}.")
    on_test = [one for one in measured if one.split == "test"]
    return lines + [f"- `{one.agent.name}` over `{one.baseline.name}`, `test`: " + " ".join(sentences(one)) for one in on_test]


def _pays(one: AdaptationSpeed) -> bool:
    low = _at(one).on_each_task.speed_up.low
    return low is not None and low > 1


def _overtaken(one: AdaptationSpeed) -> str:
    at: CensoredEstimate = one.break_even
    if at.value is None:
        return "no"
    return f"{at.value:,.0f}" if at.high is not None else "not shown"


def _at(one: AdaptationSpeed) -> Threshold:
    """The threshold nearest to that of the page."""
    return min(one.thresholds, key=lambda threshold: abs(threshold.fraction - FRACTION))
