"""What the verbs show while they evaluate, and of an evaluation that is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.cli.console import Console, progress_bars
from quickstudy.evaluation.adaptation import adaptation_sentences
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.example_lifetime import kept_lifetimes
from quickstudy.evaluation.raw_returns import RawReturns
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.splits import evaluate_splits
from quickstudy.evaluation.summary import subject, summary_sentences
from quickstudy.evaluation.summary import table as table_of
from quickstudy.evaluation.task_table import TaskTable, task_table
from quickstudy.evaluation.worst_lifetimes import MOST, WorstLifetimes
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.printable import printable
from quickstudy.reports.wording import Wording
from quickstudy.rollout.collecting.config import CollectingConfig


def show_evaluation(console: Console, evaluation: Evaluation, wording: Wording = Wording()) -> None:
    """Prints the table of an evaluation and its summary, with other words for the agent, the reward and a step."""
    shown, say = wording.of(evaluation)
    console.print(table_of(shown, width=max(80, console.width), say=say))
    for line in [*adaptation_sentences(shown, subject(shown)), *summary_sentences(shown)]:
        console.print(say(line), soft_wrap=True)
    console.print()


def evaluate_and_show(
    contenders: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    folder: str | Path,
    splits: Sequence[str] = (),
    raw: str | None = None,
    example: bool = True,
    wording: Wording = Wording(),
    **asked: Any,
) -> list[Evaluation]:
    """`evaluate_splits` below a bar of progress; each evaluation is printed and saved in the folder as soon as it is done.

    Args:
      contenders, distribution, splits, **asked: as of `evaluate_splits`.
      folder: that evaluations are saved in.
      raw: the file of the raw returns of all splits so far; None writes none.
      example: save lifetimes of the first trained contender: one on the first split, for the page, and those on the worst
        tasks of each split, for the dashboard.
      wording: other words for the agent, the reward and a step in what is printed; files keep the usual ones.
    Raises:
      UsageError: another contender has the agent's new name.
    """
    wording.check(contenders)
    console, evaluations = Console(), []
    table = RawReturns()
    with progress_bars(console) as bars:
        bar = bars.add_task("", total=1.0)

        def show(split: str, contender: str, share: float) -> None:
            bars.update(bar, completed=share, description=f"{split}: {contender}")

        for evaluation in evaluate_splits(contenders, distribution, splits=splits, progress=show, raw=table, **asked):
            evaluation.save(folder)
            if raw is not None:
                table.save(raw)
            show_evaluation(console, evaluation, wording)
            evaluations.append(evaluation)
        bars.update(bar, description="tables of the tasks")
        tables = [_saved_table(table, distribution, evaluation, folder) for evaluation in evaluations]
        trained = next((name for name, one in contenders.items() if one.trained), None)
        if example and trained is not None and evaluations:
            bars.update(bar, description=f"lifetimes of {trained}")
            collecting = asked.get("collecting", CollectingConfig())
            _save_lifetimes(trained, contenders[trained], distribution, evaluations[0], tables, folder, collecting)
    return evaluations


def _saved_table(raw: RawReturns, distribution: AnyDistribution, evaluation: Evaluation, folder: str | Path) -> TaskTable:
    split, tasks, seed = evaluation.split, evaluation.tasks, evaluation.seed
    table = task_table(raw.of_tasks(split), distribution, split=split, tasks=tasks, seed=seed)
    table.save(folder)
    return table


def _save_lifetimes(
    name: str,
    one: Contender,
    distribution: AnyDistribution,
    first: Evaluation,
    tables: Sequence[TaskTable],
    folder: str | Path,
    collecting: CollectingConfig,
) -> None:
    """Saves the lifetime of the first task of the first split, and those of the worst tasks of each split."""
    tasks, seed = first.tasks, first.seed
    worst = {table.split: table.worst(printable(name), most=MOST) for table in tables}
    wanted = {split: sorted({*numbers, *([0] if split == first.split else [])}) for split, numbers in worst.items()}
    found = kept_lifetimes(name, one, distribution, wanted, tasks=tasks, seed=seed, collecting=collecting)
    if 0 in found[first.split]:
        found[first.split][0].save(folder)
    for split, numbers in worst.items():
        lifetimes = {str(number): found[split][number] for number in numbers if number in found[split]}
        WorstLifetimes(agent=name, split=split, tasks=tasks, seed=seed, lifetimes=lifetimes).save(folder)
