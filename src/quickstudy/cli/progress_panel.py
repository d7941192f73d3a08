"""What a terminal shows of a meta-training run: a live panel, or plain lines where the output is not a terminal."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from quickstudy.evaluation.numbers import clock, counted, over_seeds, short_count
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.training.host_program import baselines_on
from quickstudy.training.loop import Progress, TrainingConfig

_BARS = "▁▂▃▄▅▆▇█"
_REFRESH_SECONDS = 0.5
_ADAPTATION = ("first_episodes", "last_episodes", "adaptation_error")
_ERRORS_BEYOND_DOUBT = 4.0


class Panel:
    """Shows progress from `watch`; a context manager, so that the terminal is left in order.

    Args:
      algorithm: that is trained.
      distribution: whose baselines stand beside it, measured on the same held-out tasks.
      config: of the run.
      collecting: where lifetimes of tasks that live outside are lived.
    """

    def __init__(
        self,
        algorithm: MetaAlgorithm,
        distribution: AnyDistribution,
        config: TrainingConfig,
        collecting: CollectingConfig = CollectingConfig(),
    ):
        self._console = Console()
        title = f"{algorithm.name} on {distribution.name}, {counted(config.seeds, 'seed')}, budget {config.budget}"
        self._title, self._looks_shown, self._last_shown = title, 0, 0.0
        self._distribution, self._tasks, self._collecting = distribution, config.held_out_tasks, collecting
        self._baselines: dict[str, float] = {}
        self._warned_of: set[str] = set()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Measures the baselines, then opens the panel."""
        self._console.print(self._title, highlight=False)
        if not self._console.is_terminal:
            self._console.print("measuring the baselines on held-out tasks ...")
        with self._console.status("measuring the baselines on held-out tasks"):
            self._baselines = baselines_on(self._distribution, tasks=self._tasks, collecting=self._collecting)
        if self._console.is_terminal:
            self._live = Live(Text("compiling the training program ..."), console=self._console, auto_refresh=False)
            self._live.start(refresh=True)
        else:
            beside = ", ".join(f"{name} {value:.2f}" for name, value in self._baselines.items())
            self._console.print(f"held-out return of the baselines: {beside or 'none'}", soft_wrap=True, highlight=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leaves the last panel standing."""
        if self._live is not None:
            self._live.stop()

    def watch(self, progress: Progress) -> None:
        """Shows where a run stands."""
        looked = len(progress.evaluations) > self._looks_shown
        self._looks_shown = len(progress.evaluations)
        if self._live is None:
            if looked:
                self._console.print(self._line(progress), soft_wrap=True, highlight=False)
        elif looked or time.monotonic() - self._last_shown > _REFRESH_SECONDS:
            self._last_shown = time.monotonic()
            self._live.update(self._panel(progress), refresh=True)
        worse = worsening(progress.metrics) if looked else None
        if worse is not None:
            self._warn_once("worsening", worse)
        apart = sum(progress.metrics["nonfinite_steps"])
        if apart:
            self._warn_once(
                "quarantine",
                f"Rewards or observations that are not finite: {apart:.3g} steps of a lifetime are set apart, and "
                "nothing is learned from them. Look at the tasks with `quickstudy check`.",
            )
        lost = sum(progress.metrics.get("lost", ()))
        if lost:
            self._warn_once(
                "loss",
                f"{lost:.0f} lifetimes were lost to a fault of their environment, and nothing is learned from them; "
                "training goes on.",
            )
        if "trouble" in progress.metrics:
            self._console.print(f"[yellow]{progress.metrics['trouble']}[/yellow]; training goes on.")

    def _warn_once(self, of: str, said: str) -> None:
        if of not in self._warned_of:
            self._warned_of.add(of)
            self._console.print(f"[yellow]{said}[/yellow]", soft_wrap=True, highlight=False)

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
    """What to say where adapting makes an agent worse, beyond doubt, in a line of metrics; None where it does not."""
    if "adaptation_error" not in metrics:
        return None
    for first, last, error in zip(*(metrics[name] for name in _ADAPTATION), strict=True):
        if last - first < -_ERRORS_BEYOND_DOUBT * error:
            return (
                f"Adapting makes this agent worse: an episode earns {first:.4g} at the start of a lifetime and {last:.4g} at "
                f"its end (difference {last - first:.3g} ± {error:.2g}). If it stays so, let it adapt in smaller steps, as "
                "with a lower inner rate. Training goes on."
            )
    return None


def _shares(spent: dict[str, float]) -> str:
    total = sum(spent.values()) or 1.0
    return ", ".join(f"{what} {100 * seconds / total:.0f} %" for what, seconds in spent.items())


def _measured(metrics: dict[str, Any]) -> str:
    """What environments said beside the reward, at the last look if there was one now, else in training."""
    kinds = ("train_", "held_out_")
    shown = [name for name in metrics if name.startswith(kinds) and not name.endswith("_return")]
    return "".join(f"  {name.replace('_', ' ')} {over_seeds(metrics[name])}" for name in shown)


def _sparkline(values: list[float]) -> str:
    values = values[-24:]
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_BARS[min(7, int(8 * (value - low) / span))] for value in values)
