"""A meta-training run on a terminal: a panel that is redrawn, or plain lines where the output is not a terminal."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from quickstudy.cli.console import Console
from quickstudy.evaluation.numbers import clock, counted, over_seeds, short_count
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.training.budget import slow_update
from quickstudy.training.loop import TrainingConfig, steps_per_update
from quickstudy.training.progress import Progress

_BARS = "▁▂▃▄▅▆▇█"
_REFRESH_SECONDS = 0.5
_ADAPTATION = ("first_episodes", "last_episodes", "adaptation_error")
_SIGNIFICANT_ERRORS = 4.0


class Panel:
    """Shows a run from `watch` and `show_baselines`; a context manager, so that the terminal is left in order.

    It computes nothing: what it shows is handed to it.

    Args:
      algorithm: the algorithm that is trained.
      distribution: of the tasks.
      config: of the run.
    """

    def __init__(self, algorithm: MetaAlgorithm, distribution: AnyDistribution, config: TrainingConfig):
        self._console = Console()
        steps = short_count(config.seeds * steps_per_update(algorithm))
        self._title = (
            f"{algorithm.name} on {distribution.name}, {counted(config.seeds, 'seed')}, budget {config.budget}, "
            f"{steps} steps an update"
        )
        self._budget = config.budget
        self._evaluations_shown, self._last_shown = 0, 0.0
        self._baselines: dict[str, float] = {}
        self._missing: tuple[str, ...] = ()
        self._progress: Progress | None = None
        self._warned_of: set[str] = set()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Opens the panel."""
        self._console.print(self._title)
        if self._console.is_terminal:
            self._live = Live(Text("compiling the training program ..."), console=self._console, auto_refresh=False)
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leaves the last panel standing."""
        if self._live is not None:
            self._live.stop()

    def watch(self, progress: Progress) -> None:
        """Shows the state of a run."""
        evaluated = len(progress.evaluations) > self._evaluations_shown
        self._evaluations_shown, self._progress = len(progress.evaluations), progress
        if self._live is None:
            if evaluated:
                self._console.print(self._line(progress), soft_wrap=True)
        elif evaluated or time.monotonic() - self._last_shown > _REFRESH_SECONDS:
            self._last_shown = time.monotonic()
            self._live.update(self._panel(progress), refresh=True)
        slow = slow_update(self._budget, progress.seconds_per_update) if progress.update == 1 else None
        if slow is not None:
            self._warn_once("slow update", slow)
        worse = worsening(progress.metrics) if evaluated else None
        if worse is not None:
            self._warn_once("worsening", worse)
        masked = progress.metrics["nonfinite_steps"]
        nonfinite = sum(masked) / len(masked)
        if nonfinite:
            self._warn_once(
                "non-finite steps",
                f"Rewards or observations are not finite, or overflow, in {nonfinite:.3g} steps per lifetime. Nothing is "
                "learned from these steps. Look at the tasks with `quickstudy check`.",
            )
        lost = sum(progress.metrics.get("lost", ()))
        if lost:
            self._warn_once(
                "lost lifetimes",
                f"{lost:.0f} lifetimes were lost to a fault of their environment. Nothing is learned from them. "
                "Training goes on.",
            )
        if "trouble" in progress.metrics:
            trouble = progress.metrics["trouble"]
            self._warn_once(trouble, f"{trouble}; training goes on.")

    def show_baselines(self, returns: Mapping[str, float], *, missing: Sequence[str]) -> None:
        """Shows held-out returns of the baselines, and the names of those that are being measured."""
        begun = bool(missing) and not self._missing
        self._baselines, self._missing = dict(returns), tuple(missing)
        if self._live is not None and self._progress is not None:
            self._live.update(self._panel(self._progress), refresh=True)
        elif begun:
            self._console.print(
                f"measuring {counted(len(missing), 'baseline')} on held-out tasks; the agent is saved, "
                "and Ctrl-C skips this ..."
            )
        elif returns and not missing:
            known = ", ".join(f"{name} {value:.2f}" for name, value in returns.items())
            self._console.print(f"held-out return of the baselines: {known}", soft_wrap=True)

    def _warn_once(self, of: str, said: str) -> None:
        if of not in self._warned_of:
            self._warned_of.add(of)
            self._console.print(said, style="yellow", soft_wrap=True)

    def _line(self, progress: Progress) -> str:
        left = "?" if progress.seconds_left is None else f"{progress.seconds_left:.0f} s"
        return (
            f"{progress.seconds:6.0f} s  {short_count(progress.steps):>6} steps  "
            f"{short_count(progress.steps_per_second)} steps/s  "
            f"held-out return {over_seeds(progress.evaluations[-1][1])}{_measured(progress.metrics)}  time left {left}"
            + (f"  ({_shares(progress.spent)})" if "environment" in progress.spent else "")
        )

    def _panel(self, progress: Progress) -> Group:
        facts = Table.grid(padding=(0, 3))
        left = "being measured" if progress.seconds_left is None else clock(progress.seconds_left)
        facts.add_row("time", clock(progress.seconds), "left", left)
        facts.add_row("steps", short_count(progress.steps), "steps per second", short_count(progress.steps_per_second))
        shares = Text(f"where the time goes: {_shares(progress.spent)}", style="dim")
        bar = ProgressBar(total=progress.updates or 1, completed=progress.update if progress.updates else 0, width=60)
        returns = Table(title="return of a lifetime", title_justify="left", box=None, padding=(0, 2))
        returns.add_column("agent")
        returns.add_column("held out", justify="right")
        history = [sum(values) / len(values) for _, values in progress.evaluations]
        rows = [(name, f"{value:.2f}", value, False) for name, value in self._baselines.items()]
        if history:
            rows.append((f"this agent  {_sparkline(history)}", over_seeds(progress.evaluations[-1][1]), history[-1], True))
        for name, text, _, ours in sorted(rows, key=lambda row: row[2]):
            returns.add_row(name, text, style="bold green" if ours else "")
        for name in self._missing:
            returns.add_row(name, "being measured; Ctrl-C skips this", style="dim")
        trained = progress.metrics["train_return"]
        # A bar by itself ends no line.
        return Group(
            Padding(bar, (0, 0, 1, 0)),
            facts,
            shares,
            Text(f"train return {over_seeds(trained)}{_measured(progress.metrics)}", style="dim"),
            returns,
        )


def worsening(metrics: dict[str, Any]) -> str | None:
    """A warning where adaptation makes an agent significantly worse, from a line of metrics; None where it does not."""
    if "adaptation_error" not in metrics:
        return None
    for first, last, error in zip(*(metrics[name] for name in _ADAPTATION), strict=True):
        if last - first < -_SIGNIFICANT_ERRORS * error:
            return (
                f"Adapting makes this agent worse: the return of an episode is {first:.4g} at the start of a lifetime and "
                f"{last:.4g} at its end (difference {last - first:.3g} ± {error:.2g}). If that lasts, choose smaller "
                "adaptation steps, for example by a lower inner rate. Training goes on."
            )
    return None


def _shares(spent: dict[str, float]) -> str:
    total = sum(spent.values()) or 1.0
    return ", ".join(f"{what} {100 * seconds / total:.0f} %" for what, seconds in spent.items())


def _measured(metrics: dict[str, Any]) -> str:
    """The environments' measures beside the reward: in training, and in the evaluation that was made now, if any."""
    kinds = ("train_", "held_out_")
    shown = [name for name in metrics if name.startswith(kinds) and not name.endswith("_return")]
    return "".join(f"  {name.replace('_', ' ')} {over_seeds(metrics[name])}" for name in shown)


def _sparkline(values: list[float]) -> str:
    values = values[-24:]
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_BARS[min(7, int(8 * (value - low) / span))] for value in values)
