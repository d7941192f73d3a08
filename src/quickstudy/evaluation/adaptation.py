"""Whether an agent adapts, in words, from its own episodes and from its controls.

Where a lifetime is one episode of several steps, its end may differ from its start for reasons of the task alone: a robot has
arrived, or fallen. So there the agent is compared with the same agent without memory. Everywhere else the end is compared with
the start. For an agent that learns nothing both are alike, as long as the task itself does not change.
"""

from quickstudy.evaluation.measures import ends_compared
from quickstudy.evaluation.numbers import bounded
from quickstudy.evaluation.results import Evaluation, PairedComparison, Result
from quickstudy.numerics.statistics import Estimate

_FOUND = {"win": "adapts", "tie": "does not adapt significantly", "loss": "gets worse"}
_CONTROLS = {"no memory": "without memory", "shuffled rewards": "with shuffled rewards"}


def compares_ends(evaluation: Evaluation) -> bool:
    """Whether adaptation is measured from the start and the end of a lifetime, rather than from the agent without memory."""
    return evaluation.spec["episodes"] > 1


def headline_of_adaptation(evaluation: Evaluation, name: str) -> str | None:
    """Whether an agent adapts, in one sentence; None where that was not measured.

    Args:
      evaluation: with the agent.
      name: of the agent.
    Example:
      `rl2 adapts: +12.30 [10.10, 14.60] from the first to the last episode.`
    """
    result = evaluation.results[name]
    if not result.trained:
        return None
    if compares_ends(evaluation):
        if result.gain is None:
            return None
        return f"{name} {_found(result.gain)}: {bounded(result.gain, signed=True)} from {compared_ends(evaluation)}."
    comparison = _with_control(evaluation, name, "no memory")
    if comparison is None:
        return None
    found = comparison.difference
    return f"{name} {_found(found)}: {bounded(found, signed=True)} per lifetime, compared with the same agent without memory."


def adaptation_sentences(evaluation: Evaluation, name: str) -> list[str]:
    """`headline_of_adaptation`, and a sentence for each control that it does not mention."""
    first = headline_of_adaptation(evaluation, name)
    sentences = [] if first is None else [first]
    result = evaluation.results[name]
    if result.trained and not compares_ends(evaluation) and result.gain is not None:
        sentences.append(
            f"From {compared_ends(evaluation)} its reward of a step changes by {bounded(result.gain, signed=True)}. "
            "Where a lifetime is one episode, this need not be adaptation."
        )
    for change, words in _CONTROLS.items():
        comparison = _with_control(evaluation, name, change)
        if comparison is None or (change == "no memory" and not compares_ends(evaluation)):
            continue
        significant = "" if comparison.outcome != "tie" else " The difference is not significant."
        sentences.append(
            f"Its return minus that of the same agent {words} is {bounded(comparison.difference, signed=True)} per "
            f"lifetime.{significant}"
        )
    return sentences


def compared_ends(evaluation: Evaluation) -> str:
    """The two ends of a lifetime that `Result.gain` compares, in words."""
    return ends_compared(horizon=int(evaluation.spec["horizon"]), episodes=int(evaluation.spec["episodes"]))


def agents_of(evaluation: Evaluation) -> dict[str, Result]:
    """The contenders without the controls of agents."""
    return {name: result for name, result in evaluation.results.items() if result.control is None}


def _with_control(evaluation: Evaluation, name: str, change: str) -> PairedComparison | None:
    control = evaluation.control_of(name, change)
    return None if control is None else evaluation.compare(name, control)


def _found(estimate: Estimate) -> str:
    low, high = estimate.low, estimate.high
    if low is None or high is None or low <= 0 <= high:
        return _FOUND["tie"]
    return _FOUND["win" if low > 0 else "loss"]
