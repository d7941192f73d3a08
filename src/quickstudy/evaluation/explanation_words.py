"""An explanation as text, from a template: nothing in it is written by a model."""

from quickstudy.evaluation.explanation import LATENT, LEAST_CHANGE, Explanation, Influence, in_words

_MOST_INFLUENCES, _MOST_NUMBERS = 5, 8


def explanation_lines(explained: Explanation, *, task: str = "") -> list[str]:
    """The explanation, one claim a line.

    Args:
      explained: the decision.
      task: where it was made, in words, as in `task 0 of test`.
    """
    where = f" on {task}" if task else ""
    said = [
        f"Decision of {explained.agent} at step {explained.slot + 1} of {explained.steps}{where}.",
        f"It observed {explained.observation}. It chose action {explained.action}.",
    ]
    said += _best(explained)
    if explained.value is not None:
        said.append(
            f"Its value estimate for the rest of the lifetime is {explained.value:.3g}, with the discount of its training."
        )
    if explained.regret is not None:
        said.append(
            f"It expects to earn {explained.regret:.3g} less in the rest of the lifetime than an agent that knows the task, "
            "with the discount of its training."
        )
    said += _beliefs(explained)
    said += _influences(explained)
    said += [f"{name}, after the same steps, would choose action {action}." for name, action in explained.others.items()]
    return said


def _best(explained: Explanation) -> list[str]:
    places = explained.best
    if not places:
        return [f"Its likeliest action is {in_words(explained.numbers, most=_MOST_NUMBERS)}."]
    if explained.kind == "choice":
        return ["The agent gives neither probabilities nor scores of actions."]
    lines = [] if explained.draws else ["It takes the likeliest action. The probabilities are those before this choice."]
    for rank, place in zip(("best", "second best"), places, strict=False):
        expected = "".join(
            f"; belief about {name} {mean[place]:.3g} ± {spread[place]:.2g}"
            for name, (mean, spread) in explained.beliefs.items()
            if name != LATENT and len(mean) == len(explained.numbers)
        )
        lines.append(
            f"The {rank} action is {explained.first + place}: {explained.kind} {explained.numbers[place]:.3g}{expected}."
        )
    chosen = int(explained.action) - explained.first
    if chosen not in places:
        lines.append(f"The chosen action is {explained.action}: {explained.kind} {explained.numbers[chosen]:.3g}.")
    return lines


def _beliefs(explained: Explanation) -> list[str]:
    if not explained.beliefs:
        return ["The agent gives no belief in named parameters. A readout adds one: `quickstudy readout`."]
    lines = []
    for name, (mean, spread) in explained.beliefs.items():
        pairs = zip(mean[:_MOST_NUMBERS], spread, strict=False)
        more = f" … ({len(mean)} numbers)" if len(mean) > _MOST_NUMBERS else ""
        lines.append(f"Belief about {name}: {', '.join(f'{m:.3g} ± {s:.2g}' for m, s in pairs)}{more}.")
    return lines


def _influences(explained: Explanation) -> list[str]:
    if not explained.influences:
        return ["There is no earlier step."]
    moved = [one for one in explained.influences[:_MOST_INFLUENCES] if one.change > LEAST_CHANGE]
    lines = ["Earlier steps that move the decision most. Without the step, it would be:"]
    if not moved:
        newest = f" of the newest {len(explained.influences)}" if explained.left else ""
        lines = [f"No single earlier step{newest} moves the decision: without any one of them it would be the same."]
    lines += [
        f"  step {one.slot + 1} (action {one.action}, reward {one.reward:.3g}): {_moved(explained, one)}" for one in moved
    ]
    if explained.left:
        lines.append(f"  {explained.left} older steps were not left out one by one.")
    return lines


def _moved(explained: Explanation, one: Influence) -> str:
    places = explained.best
    if not places:
        return f"likeliest action {in_words(one.numbers, most=_MOST_NUMBERS)}"
    best, now = places[0], explained.in_order(one.numbers)[0]
    numbers = one.numbers[best], explained.numbers[best]
    digits = next((digits for digits in (3, 5, 7) if len({f"{number:.{digits}g}" for number in numbers}) > 1), 3)
    instead = f"; action {explained.first + now} would be the best" if one.numbers[now] > one.numbers[best] else ""
    return (
        f"{explained.kind} of action {explained.first + best} {numbers[0]:.{digits}g} in place of "
        f"{numbers[1]:.{digits}g}{instead}"
    )
