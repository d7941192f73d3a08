"""Compared runs in words: one sentence for every agent, the best first, and notes on what limits the comparison."""

from collections.abc import Iterator, Sequence

from quickstudy.evaluation.numbers import bounded, counted, duration, listed, number
from quickstudy.evaluation.training_runs import TrainingRun, best_first, changed_files
from quickstudy.numerics.seed_differences import mean_difference

OTHER_TASKS = "These runs have different tasks, so their returns cannot be compared. Each set of tasks has its own part."
_SURROUNDINGS = ("device", "devices", "cores")


def run_sentences(runs: Sequence[TrainingRun]) -> list[str]:
    """One sentence for every run on the same tasks, the best held-out return first."""
    ordered = best_first(runs)
    return [_sentence(run, ordered[0]) for run in ordered]


def run_notes(runs: Sequence[TrainingRun]) -> list[str]:
    """What limits the comparison of runs on the same tasks, in sentences; empty where nothing does."""
    return list(_notes(runs))


def tasks_in_words(run: TrainingRun) -> str:
    """Name and settings of a run's tasks: `bernoulli-bandit (arms 5, pulls 100)`."""
    config = ", ".join(f"{name} {value}" for name, value in run.distribution["config"].items())
    return f"{run.distribution['name']}{f' ({config})' if config else ''}"


def _sentence(run: TrainingRun, best: TrainingRun) -> str:
    if not run.seeds:
        return f"{run.name} {'' if run.finished else 'is not finished and '}has no evaluation yet, so it has no curve."
    mean, low, high = (number(value) for value in (run.last.mean(), run.last.min(), run.last.max()))
    over = f" ({low} to {high} over {run.seeds} seeds)" if run.seeds > 1 else ""
    spent = f"after {run.steps[-1]:,.0f} environment steps and {duration(run.seconds[-1])}"
    verb = "ends at" if run.finished else "is not finished and is at"
    return f"{run.name} {verb} a held-out return of {mean}{over} {spent}{_against(run, best)}."


def _against(run: TrainingRun, best: TrainingRun) -> str:
    """How a run compares with the best one, as the end of a sentence."""
    if run is best:
        return ""
    less = mean_difference(best.last, run.last)
    if less is None or less.low is None:
        return f"; this is {number(best.last.mean() - run.last.mean())} less than {best.name}"
    if less.low <= 0:
        return f"; the difference from {best.name} is not significant: {bounded(less)} less"
    return f"; this is {bounded(less)} less than {best.name}"


def _notes(runs: Sequence[TrainingRun]) -> Iterator[str]:
    single = [run.name for run in runs if run.seeds == 1]
    if single:
        was = "was" if len(single) == 1 else "were"
        yield (
            f"{listed(single)} {was} trained with one seed, so no interval is known: another training run may do better or "
            "worse. Train with --seeds 5 for an interval."
        )
    if len({tuple(str(run.surroundings.get(name)) for name in _SURROUNDINGS) for run in runs}) > 1:
        yield "The runs had different machines, so their seconds cannot be compared."
    counts = [run.settings.get("held_out_tasks") for run in runs]
    tasks = sorted({count for count in counts if isinstance(count, int)})
    if len(tasks) > 1:
        yield f"The evaluations during training had different numbers of held-out tasks: {listed(map(str, tasks))}."
    for file in changed_files(runs):
        yield f"{file} was changed between these runs: if its rewards or dynamics are different, do not compare the returns."
    if sum(run.seeds > 0 for run in runs) > 2:
        pairs = counted(sum(run.seeds > 0 for run in runs) - 1, "comparison")
        yield f"The intervals are not corrected for the number of comparisons ({pairs} with the best run)."
