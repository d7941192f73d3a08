"""A measurement of adaptation speed as tables for a terminal, and in sentences."""

from collections.abc import Mapping

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Side, Threshold
from quickstudy.evaluation.numbers import bounded, censored_bounded, censored_number, count, number, percent
from quickstudy.numerics.statistics import Estimate
from quickstudy.reports.seeds import seeds_sentences

FRACTION = 0.75
"""The threshold that the pages show, as a fraction of the baseline's way from random actions to its final return."""

HEADLINE = ("rl2", "ppo")
"""The agent and the baseline that pages show first."""

_MOST_SCORES = 4


def speed_table(found: AdaptationSpeed) -> Group:
    """Speed-ups by threshold, the two curves in numbers, and the summary in sentences; for `rich.print`."""
    return Group(_thresholds(found), _sides(found), *(Text(sentence) for sentence in sentences(found)))


def sentences(found: AdaptationSpeed) -> list[str]:
    """The summary in a few plain sentences: steps, break-even, the gain from reward, and the limits of the measurement."""
    ours, theirs = found.agent.name, found.baseline.name
    last = found.thresholds[-1]
    crossing, fraction = last.on_each_task, percent(last.fraction)
    said = []
    if not found.held_out:
        said.append("These are TRAINING TASKS, not held-out tasks: the result says nothing about new tasks.")
    said.append(
        f"To come {fraction} of the way from random actions to the final return of {theirs}, {ours} needs "
        f"{censored_number(crossing.agent)} steps and {theirs} needs {censored_number(crossing.baseline)} (medians over tasks)."
    )
    said.append(f"The speed-up is {censored_bounded(crossing.speed_up)}.")
    if found.break_even.value is None:
        said.append(f"{theirs} does not overtake {ours} within its {count(found.baseline.steps)} steps.")
    elif found.break_even.high is None:
        said.append(f"It is not significant that {theirs} overtakes {ours}: the interval of the break-even step has no end.")
    else:
        said.append(f"Break-even: {theirs} is better than {ours} from step {censored_bounded(found.break_even)} on.")
    if found.shuffled is not None and found.gain_from_reward is not None:
        low = found.gain_from_reward.low
        gain = bounded(found.gain_from_reward, signed=True)
        said.append(f"Adapting to its own rewards changes the return of {ours} by {gain} per episode.")
        if low is None or low <= 0:
            said.append(f"This is no significant gain: {ours} does not adapt to reward measurably.")
    if last.tasks_to_pay_back is not None:
        said.append(
            f"Its {found.meta_training_steps:,} steps of meta-training pay back after "
            f"{censored_bounded(last.tasks_to_pay_back)} new tasks (at {fraction})."
        )
    if found.tasks_learned < 1:
        said.append(f"{theirs} ends above random actions on {percent(found.tasks_learned)} of the tasks.")
        said.append("The other tasks set no threshold.")
    said += [
        f"Rewards or observations of {side.name} were not finite, or overflowed, on {side.nonfinite_steps:,} steps. "
        "These steps are masked and bring no reward."
        for side in (found.agent, found.baseline)
        if side.nonfinite_steps
    ]
    return said + seeds_sentences({found.agent.name: found.agent.seeds} if found.agent.trained else {})


def is_headline(found: AdaptationSpeed) -> bool:
    """Whether this is the measurement that pages show first: RL² against PPO from scratch, on held-out tasks."""
    return found.split == "test" and (found.agent.name, found.baseline.name) == HEADLINE


def threshold_at(found: AdaptationSpeed, fraction: float = FRACTION) -> Threshold:
    """The threshold nearest to a fraction of the baseline's way from random actions to its final return."""
    return min(found.thresholds, key=lambda threshold: abs(threshold.fraction - fraction))


def outcome(found: AdaptationSpeed) -> str:
    """The agent against the baseline: `faster`, `slower`, `tie` (the interval of the speed-up includes 1) or `unknown`."""
    speed_up = threshold_at(found).on_each_task.speed_up
    if censored_number(speed_up) == "unknown":
        return "unknown"
    if speed_up.low is not None and speed_up.low > 1:
        return "faster"
    return "slower" if speed_up.high is not None and speed_up.high < 1 else "tie"


def overtaken(found: AdaptationSpeed) -> str:
    """The step from which on the baseline is better: `5,045`; `> N` if not within its N steps.

    `not significant` stands for a step whose interval has no upper end.
    """
    at = found.break_even
    if at.value is None:
        return f"> {found.baseline.steps:,.0f}"
    return f"{at.value:,.0f}" if at.high is not None else "not significant"


def _thresholds(found: AdaptationSpeed) -> Table:
    title = (
        f"{found.distribution['name']} · split {found.split}: {found.label}\n"
        f"{found.tasks:,} tasks, {found.lifetimes} lifetimes on each, task list {found.task_hash[:12]}"
    )
    drawn = _table(title, style="bold" if found.held_out else "bold red")
    drawn.caption = (
        "Steps and speed-up: medians over tasks. Speed-up of means: from the two mean curves. "
        "[ ]: 95 % bootstrap interval over tasks and seeds. >: not reached within the lifetime."
    )
    rows = {
        "part of the\nbaseline's way": [percent(one.fraction) for one in found.thresholds],
        "return": [number(one.level.value) for one in found.thresholds],
        f"steps,\n{found.agent.name}": [censored_number(one.on_each_task.agent) for one in found.thresholds],
        f"steps,\n{found.baseline.name}": [censored_number(one.on_each_task.baseline) for one in found.thresholds],
        "runs that\nreached it": [f"{percent(one.agent_reached)}, {percent(one.baseline_reached)}" for one in found.thresholds],
        "speed-up": [censored_bounded(one.on_each_task.speed_up) for one in found.thresholds],
        "speed-up\nof means": [censored_number(one.on_mean_curve.speed_up) for one in found.thresholds],
    }
    return _filled(drawn, rows)


def _sides(found: AdaptationSpeed) -> Table:
    sides = [side for side in (found.agent, found.baseline, found.shuffled) if side is not None]
    shared = min(found.agent.episodes, found.baseline.episodes)
    rows = {
        "": [f"{side.name} ({side.seeds} seeds)" if side.seeds > 1 else side.name for side in sides],
        "steps": [count(side.steps) for side in sides],
        f"mean return of\n{shared} episodes": [bounded(side.area) for side in sides],
        "final return": [bounded(side.asymptote) for side in sides],
        f"score after {', '.join(list(found.agent.score_after)[:_MOST_SCORES])}\nepisodes": [_scores(side) for side in sides],
    }
    return _filled(_table(None, style="bold"), rows)


def _scores(side: Side) -> str:
    scores: Mapping[str, Estimate] = side.score_after
    return ", ".join(number(score.value, 2) for score in scores.values()) or "–"


def _table(title: str | None, *, style: str) -> Table:
    # Text, because a name is no markup.
    drawn = Table(title=None if title is None else Text(title), title_style=style, box=box.SIMPLE_HEAD)
    drawn.title_justify = drawn.caption_justify = "left"
    return drawn


def _filled(drawn: Table, columns: Mapping[str, list[str]]) -> Table:
    for column in columns:
        drawn.add_column(Text(column), justify="right" if column else "left", overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        drawn.add_row(*(Text(cell) for cell in cells))
    return drawn
