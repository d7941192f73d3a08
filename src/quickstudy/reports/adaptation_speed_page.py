"""The page of adaptation speeds, drawn from the measurements under `results/adaptation-speed`; no number is typed by hand."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Side
from quickstudy.evaluation.numbers import bounded, censored_bounded, censored_number, listed, number, percent
from quickstudy.reports import markdown
from quickstudy.reports.adaptation_speed_table import (
    FRACTION,
    is_headline,
    outcome,
    overtaken,
    threshold_at,
)
from quickstudy.reports.seeds import seeds_sentences
from quickstudy.storage.atomic import write_atomically

PAGE = Path("docs") / "adaptation-speed.md"
MEASURED = Path("results") / "adaptation-speed"
"""One folder for each distribution of tasks, with the files that `quickstudy speed ... --folder` wrote."""

_HEAD = """# Adaptation speed

How many environment steps does a meta-trained agent need on a new task? This page compares it with two baselines.
`ppo` learns each task from scratch. `multi-task` is one policy that was trained on all tasks and is fine-tuned on the new one.
Both learn by the same rule, with settings that were chosen on training tasks (`python benchmarks/tune_ppo.py`).

- All agents solve the same held-out tasks. *Steps* are environment steps on one task until the return of an episode is
  {fraction} of the way from random actions to the baseline's final return.
- *Speed-up* is the baseline's steps divided by the agent's. ▲ the agent is faster, ▼ it is slower, ≈ the interval includes 1.
- Steps and speed-ups are medians over tasks and seeds. `[ ]` is a 95 % bootstrap interval over both.
- `> N`: not reached within the N steps of the lifetime. `unknown`: the baseline itself does not learn most of the tasks.
- *Overtaken* is the step after which the baseline stays better. An agent that learns fast may still end lower.
- *Gain from reward* is what the agent loses if it adapts to the rewards of another lifetime. If the interval includes 0,
  the agent does not adapt to reward measurably.

`quickstudy bench page` draws this page from [results/adaptation-speed](../results/adaptation-speed).
`quickstudy speed BUNDLE ... --against ppo BUNDLE --folder results/adaptation-speed/NAME` measures again.
[Measuring](measuring.md#adaptation-speed) defines each number.
"""

_SIGNS = {"faster": "▲", "tie": "≈", "slower": "▼", "unknown": ""}


def load_speeds(folder: Path) -> dict[str, list[AdaptationSpeed]]:
    """Every measurement below a checkout, by the name of its folder; in the order of agents, baselines and splits.

    Raises:
      UsageError: a file holds no measurement.
    """
    found = {}
    for place in sorted(path for path in (folder / MEASURED).glob("*") if path.is_dir()):
        speeds = [AdaptationSpeed.load(path) for path in sorted(place.glob("*.json"))]
        found[place.name] = sorted(speeds, key=lambda one: (one.agent.name, one.baseline.name, one.split != "test", one.split))
    return found


def render_speeds(speeds: dict[str, list[AdaptationSpeed]]) -> str:
    """The whole page as Markdown; a folder without a measurement has no section."""
    return "\n".join([_HEAD.format(fraction=percent(FRACTION)), *(_place(*item) for item in speeds.items() if item[1])])


def write_speed_page(folder: Path) -> Path:
    """Draws the page below a checkout, and returns its path."""
    write_atomically(folder / PAGE, render_speeds(load_speeds(folder)))
    return folder / PAGE


def _place(name: str, measured: Sequence[AdaptationSpeed]) -> str:
    heading = f"## {name.replace('-', ' ').capitalize()}"
    parts = [heading, _setting(measured), _picture(name, measured), _overview(measured), _limits(measured)]
    steps = markdown.folded("Steps", _steps(measured))
    returns = markdown.folded("Returns of an episode", _returns(measured))
    return markdown.join([*parts, steps, returns]) + "\n"


def _setting(measured: Sequence[AdaptationSpeed]) -> str:
    """The tasks, and the length of each agent's lifetime, in two sentences."""
    one = measured[0]
    settings = ", ".join(f"{key} {value}" for key, value in one.distribution["config"].items() if key != "episodes")
    lengths = {side.name: f"{side.episodes} (`{side.name}`)" for side in _sides(measured)}
    return markdown.paragraph(
        f"`{one.distribution['name']}` with {settings}. Each split has {one.tasks} tasks, and each seed has {one.lifetimes} "
        f"lifetimes on each. Episodes in a lifetime: {listed(lengths.values())}."
    )


def _picture(name: str, measured: Sequence[AdaptationSpeed]) -> str:
    """The chart of RL² against PPO on held-out tasks, which `quickstudy speed` wrote beside the measurement; else empty."""
    for one in measured:
        if is_headline(one):
            return f"![`{one.agent.name}` against `{one.baseline.name}`](../{MEASURED.as_posix()}/{name}/{one.file_name}.svg)"
    return ""


def _overview(measured: Sequence[AdaptationSpeed]) -> str:
    """The speed-ups: a line for each agent and baseline, a column for each split; one sentence if nothing is significant."""
    if not any(outcome(one) in ("faster", "slower") for one in measured):
        return markdown.paragraph(
            "No agent is significantly faster or slower than a baseline on any split: each interval of a speed-up includes 1, "
            "or the speed-up is unknown."
        )
    splits = list(dict.fromkeys(one.split for one in sorted(measured, key=lambda one: (one.split != "test", one.split))))
    lines = []
    for (agent, baseline), group in itertools.groupby(measured, key=lambda one: (one.agent.name, one.baseline.name)):
        by_split = {one.split: one for one in group}
        cells = [_speed_up(by_split[split]) if split in by_split else "–" for split in splits]
        lines.append([f"**`{agent}`** over `{baseline}`", *cells])
    return markdown.table([f"speed-up at {percent(FRACTION)}", *(f"`{split}`" for split in splits)], lines)


def _speed_up(found: AdaptationSpeed) -> str:
    return f"{censored_bounded(threshold_at(found).on_each_task.speed_up)} {_SIGNS[outcome(found)]}".strip()


def _limits(measured: Sequence[AdaptationSpeed]) -> str:
    """What the measurement cannot say: few seeds, and what meta-training cost where that was recorded."""
    agents = {one.agent.name: one for one in measured}
    said = seeds_sentences({name: one.agent.seeds for name, one in agents.items() if one.agent.trained})
    said += [
        f"`{name}` was meta-trained for {one.meta_training_steps:,} steps of each seed."
        for name, one in agents.items()
        if one.meta_training_steps is not None
    ]
    return markdown.paragraph(" ".join(said))


def _steps(measured: Sequence[AdaptationSpeed]) -> str:
    lines = []
    for one in measured:
        crossing = threshold_at(one).on_each_task
        pair = f"`{one.agent.name}` over `{one.baseline.name}`"
        lines.append(
            [pair, f"`{one.split}`", censored_number(crossing.agent), censored_number(crossing.baseline), overtaken(one)]
        )
    return markdown.table(("agent over baseline", "split", "agent's steps", "baseline's steps", "overtaken"), lines)


def _returns(measured: Sequence[AdaptationSpeed]) -> str:
    """A line for each agent or baseline on each split: its first episode, its last tenth, and the gain from reward."""
    lines: dict[tuple[str, str], list[str]] = {}
    for one in sorted(measured, key=lambda one: (one.split != "test", one.split)):
        gain = "–" if one.gain_from_reward is None else bounded(one.gain_from_reward, signed=True)
        for side, value in ((one.agent, gain), (one.baseline, "–")):
            cells = [f"`{side.name}`", f"`{one.split}`", number(side.curve.value[0]), bounded(side.asymptote), value]
            lines.setdefault((one.split, side.name), cells)
    heads = ("agent or baseline", "split", "first episode", "last tenth of the lifetime", "gain from reward")
    return markdown.table(heads, [lines[key] for key in sorted(lines, key=lambda key: (key[0] != "test", *key))])


def _sides(measured: Sequence[AdaptationSpeed]) -> list[Side]:
    """The agents and then the baselines, each once."""
    agents = {one.agent.name: one.agent for one in measured}
    return list((agents | {one.baseline.name: one.baseline for one in measured}).values())
