"""What a measurement of adaptation speed says, as tables and in words."""

from collections.abc import Mapping

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed, Side
from quickstudy.evaluation.numbers import bounded, number
from quickstudy.numerics.statistics import CensoredEstimate, Estimate

_MOST_SCORES = 4


def speed_table(found: AdaptationSpeed) -> Group:
    """Speed-ups by threshold, the two curves in numbers, and the verdict; for `rich.print`."""
    return Group(_thresholds(found), _sides(found), *(Text(sentence) for sentence in sentences(found)))


def sentences(found: AdaptationSpeed) -> list[str]:
    """The verdict in a few plain sentences, with what it rests on and what it cannot say."""
    ours, theirs = found.agent.name, found.baseline.name
    said = []
    if not found.held_out:
        said.append("These are TRAINING TASKS, not held out: the numbers say nothing about how fast new tasks are learned.")
    last = found.thresholds[-1]
    said.append(
        f"{ours} comes {last.fraction:.0%} as far as {theirs} in {plain(last.on_each_task.agent)} steps, {theirs} itself in "
        f"{plain(last.on_each_task.baseline)}; speed-up {censored(last.on_each_task.speed_up)} (medians over tasks)."
    )
    if found.break_even.value is None:
        said.append(f"{theirs} does not overtake {ours} in its {_short(found.baseline.steps)} steps.")
    elif found.break_even.high is None:
        said.append(f"{theirs} is not shown to overtake {ours}: the interval of the break-even point has no end.")
    else:
        said.append(f"Break-even: {theirs} stays above {ours} from step {censored(found.break_even)} on.")
    if found.shuffled is not None and found.gain_from_reward is not None:
        low = found.gain_from_reward.low
        verdict = "" if low is not None and low > 0 else " That is no gain that these tasks show: it does not adapt by reward."
        said.append(f"Reward is worth {bounded(found.gain_from_reward, signed=True)} an episode to {ours}.{verdict}")
    if last.tasks_to_pay_back is not None:
        said.append(
            f"Its {found.meta_training_steps:,} steps of meta-training are paid back after "
            f"{censored(last.tasks_to_pay_back)} new tasks (at {last.fraction:.0%})."
        )
    if found.tasks_learned < 1:
        said.append(f"{theirs} ends above acting at random on {found.tasks_learned:.0%} of the tasks; others set no threshold.")
    if found.agent.trained and found.agent.seeds < 5:
        said.append("Fewer than 5 training seeds: the intervals are too narrow, or of the tasks alone.")
    return said


def plain(estimate: CensoredEstimate) -> str:
    """A number as far as it is known: `12`, `> 500`, `< 0.5`, `2 to 3`, `never` or `unknown`."""
    least, most = estimate.at_least, estimate.at_most
    if least is None:
        return "never"
    if most is None:
        return f"> {_short(least)}" if least > 0 else "unknown"
    if least == most:
        return _short(least)
    return f"{_short(least)} to {_short(most)}" if least > 0 else f"< {_short(most)}"


def censored(estimate: CensoredEstimate) -> str:
    """A number as far as it is known, with its interval."""
    if estimate.at_least is None and estimate.low is None:
        return "never"
    low, high = ("∞" if end is None else _short(end) for end in (estimate.low, estimate.high))
    return f"{plain(estimate)} [{low}, {high}]"


def _thresholds(found: AdaptationSpeed) -> Table:
    title = (
        f"{found.distribution['name']} · split {found.split}: {found.label}\n"
        f"{found.tasks:,} tasks, {found.lifetimes} lifetimes on each, task list {found.task_hash[:12]}"
    )
    drawn = _table(title, style="bold" if found.held_out else "bold red")
    drawn.caption = (
        "Steps and speed-up: medians over tasks; of means: of the two mean curves. [ ] 95 % bootstrap interval over tasks "
        "and seeds; > censored at the end of the lifetime"
    )
    rows = {
        "way to the\nasymptote": [f"{one.fraction:.0%}" for one in found.thresholds],
        "return": [number(one.level.value) for one in found.thresholds],
        f"steps,\n{found.agent.name}": [plain(one.on_each_task.agent) for one in found.thresholds],
        f"steps,\n{found.baseline.name}": [plain(one.on_each_task.baseline) for one in found.thresholds],
        "runs that\ngot there": [f"{one.agent_reached:.0%}, {one.baseline_reached:.0%}" for one in found.thresholds],
        "speed-up": [censored(one.on_each_task.speed_up) for one in found.thresholds],
        "of means": [plain(one.on_mean_curve.speed_up) for one in found.thresholds],
    }
    return _filled(drawn, rows)


def _sides(found: AdaptationSpeed) -> Table:
    sides = [side for side in (found.agent, found.baseline, found.shuffled) if side is not None]
    shared = min(found.agent.episodes, found.baseline.episodes)
    rows = {
        "": [f"{side.name} ({side.seeds} seeds)" if side.seeds > 1 else side.name for side in sides],
        "steps": [_short(side.steps) for side in sides],
        f"area, {shared}\nepisodes": [bounded(side.area) for side in sides],
        "asymptote": [bounded(side.asymptote) for side in sides],
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


def _short(value: float) -> str:
    """Two digits below ten, whole numbers above: 0.53, 3.5, 1,240."""
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2g}"
