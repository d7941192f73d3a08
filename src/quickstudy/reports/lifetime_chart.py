"""One lifetime as a chart: the actions of the agent, its return so far, and its beliefs."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quickstudy.evaluation.example_lifetime import ExampleLifetime
from quickstudy.evaluation.numbers import number
from quickstudy.reports import canvas
from quickstudy.reports.canvas import INK, LIGHT, MUTED, Picture
from quickstudy.reports.charts import count_axis

_PANEL = 1.45
_MOST_BELIEFS = 2
_MOST_BOUNDARIES = 30
_MOST_RETURNS = 10


def lifetime_picture(lifetime: ExampleLifetime, *, agent: str) -> Picture:
    """Panels below each other: actions, the return so far, and beliefs, or where there are none the policy.

    Args:
      lifetime: to draw.
      agent: the name that the page gives it.
    """
    at = np.asarray(lifetime.slots) + 1
    beliefs = list(itertools.islice(lifetime.beliefs.items(), _MOST_BELIEFS))
    policy = [("policy", lifetime.probabilities)] if lifetime.probabilities and not beliefs else []
    with canvas.style_context():
        panels = 2 + len(beliefs) + len(policy)
        figure = Figure(figsize=(canvas.WIDTH, _PANEL * panels + 0.4), layout="constrained")
        first, second, *rest = figure.subplots(panels, 1, sharex=True)
        _actions(first, lifetime, at)
        _returns(second, lifetime, at)
        for axes, (name, rows) in zip(rest, beliefs, strict=False):
            _lines(axes, at, rows, lifetime.deviations[name])
            axes.set_ylabel("belief" if name == "task" else f"belief: {name}", fontsize=8.5)
        for axes, (_, rows) in zip(rest, policy, strict=False):
            _lines(axes, at, rows, None)
            axes.set_ylabel("probability of action", fontsize=8.5)
            axes.set_ylim(-0.03, 1.03)
        if _by_episode(lifetime):
            for axes, episode in itertools.product(
                (first, second, *rest), range(1, lifetime.slots[-1] // lifetime.horizon + 1)
            ):
                axes.axvline(episode * lifetime.horizon + 0.5, color=MUTED, linewidth=0.5, alpha=0.6)
        count_axis((rest or [second])[-1], "step of the lifetime")
        return canvas.finish(
            figure,
            name="lifetime",
            title=f"One lifetime of {agent}",
            caption=" ".join([_task(lifetime), *_captions(lifetime, shown=bool(beliefs), policy=bool(policy))]),
            alternative=f"One lifetime of {agent}: {len(at)} steps with a return of {number(sum(lifetime.rewards))}.",
        )


def _by_episode(lifetime: ExampleLifetime) -> bool:
    """Whether the chart tells several episodes of several steps apart."""
    return lifetime.horizon > 1 and 0 < lifetime.slots[-1] // lifetime.horizon <= _MOST_BOUNDARIES


def _returns(axes: Axes, lifetime: ExampleLifetime, at: np.ndarray) -> None:
    """The return so far: of the lifetime, or of each episode, which then begins at zero."""
    rewards = np.asarray(lifetime.rewards)
    if not _by_episode(lifetime):
        axes.plot(at, np.cumsum(rewards), color=INK, linewidth=1.4, drawstyle="steps-post")
        axes.set_ylabel("return so far", fontsize=8.5)
        return
    for of_episode in _episodes(lifetime):
        axes.plot(at[of_episode], np.cumsum(rewards[of_episode]), color=INK, linewidth=1.4, drawstyle="steps-post")
    axes.set_ylabel("return in the episode", fontsize=8.5)


def _episodes(lifetime: ExampleLifetime) -> list[np.ndarray]:
    """For each episode, which steps belong to it, as truth values; in their order."""
    episode = np.asarray(lifetime.slots) // lifetime.horizon
    return [episode == one for one in np.unique(episode)]


def _episode_returns(lifetime: ExampleLifetime) -> list[str]:
    """The return of each episode, in one sentence; no sentence where the chart does not show episodes."""
    if not _by_episode(lifetime):
        return []
    returns = [float(np.asarray(lifetime.rewards)[of_episode].sum()) for of_episode in _episodes(lifetime)]
    shown = [number(one) for one in (returns[:-1] if lifetime.cut else returns)]
    if len(shown) > _MOST_RETURNS:
        return [f"The first episode has a return of {shown[0]}, and the last of these one of {shown[-1]}."]
    return [f"Return of each episode: {', '.join(shown)}."]


def _task(lifetime: ExampleLifetime) -> str:
    """The task in one sentence."""
    named = "; ".join(f"{name} {value}" for name, value in lifetime.task.items())
    return f"The first task of the split {lifetime.split}{f': {named}' if named else ''}."


def _captions(lifetime: ExampleLifetime, *, shown: bool, policy: bool) -> list[str]:
    sentences = ["It is an example, not a measurement."]
    if lifetime.cut:
        sentences.append(f"Only its first {len(lifetime.slots)} steps are shown.")
    sentences += _episode_returns(lifetime)
    if lifetime.choices or policy:
        sentences.append("A colour stands for an action.")
    if shown:
        sentences.append("Beliefs are shown by their means, with one standard deviation.")
    if policy:
        sentences.append("This agent gives no belief, so the lowest panel has the probabilities of its actions.")
    return sentences


def _actions(axes: Axes, lifetime: ExampleLifetime, at: np.ndarray) -> None:
    rows = np.asarray(lifetime.actions)
    if lifetime.choices:
        chosen = rows[:, 0]
        first = int(chosen.min()) if chosen.min() < 0 or chosen.max() >= lifetime.choices else 0
        colours = [LIGHT[(int(action) - first) % len(LIGHT)] for action in chosen]
        axes.scatter(at, chosen, c=colours, s=9, linewidths=0)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    else:
        _lines(axes, at, lifetime.actions, None)
    axes.set_ylabel("action", fontsize=8.5)


def _lines(axes: Axes, at: np.ndarray, rows: Sequence[Sequence[float]], deviations: Sequence[Sequence[float]] | None) -> None:
    """A line for each number, with a band of one standard deviation where it is known."""
    numbers = np.asarray(rows)
    for index in range(numbers.shape[1]):
        colour = LIGHT[index % len(LIGHT)]
        axes.plot(at, numbers[:, index], color=colour, linewidth=1.2)
        if deviations is not None and len(deviations):
            spread = np.asarray(deviations)[:, index]
            low, high = numbers[:, index] - spread, numbers[:, index] + spread
            axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
