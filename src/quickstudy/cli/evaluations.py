"""What the verbs show while they evaluate, and of an evaluation that is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.cli.console import Console, progress_bars
from quickstudy.evaluation.adaptation import adaptation_sentences
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.splits import evaluate_splits
from quickstudy.evaluation.summary import subject, summary_sentences, table
from quickstudy.protocol.host_distribution import AnyDistribution


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Prints the table of an evaluation and its summary."""
    console.print(table(evaluation, width=max(80, console.width)))
    for line in [*adaptation_sentences(evaluation, subject(evaluation)), *summary_sentences(evaluation)]:
        console.print(line, soft_wrap=True)
    console.print()


def evaluate_and_show(
    contenders: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    folder: str | Path,
    splits: Sequence[str] = (),
    **asked: Any,
) -> list[Evaluation]:
    """`evaluate_splits` below a bar of progress; each evaluation is printed and saved in the folder as soon as it is done."""
    console, evaluations = Console(), []
    with progress_bars(console) as bars:
        bar = bars.add_task("", total=1.0)

        def show(split: str, contender: str, share: float) -> None:
            bars.update(bar, completed=share, description=f"{split}: {contender}")

        for evaluation in evaluate_splits(contenders, distribution, splits=splits, progress=show, **asked):
            evaluation.save(folder)
            show_evaluation(console, evaluation)
            evaluations.append(evaluation)
    return evaluations
