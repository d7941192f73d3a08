"""The part of a page on new visitors: the clicks that a meta-trained agent gains, and those that it loses on unusual ones."""

import dataclasses
from collections.abc import Sequence

from quickstudy.evaluation.new_visitors import AGENT, GUARDED, LINUCB, OUTSIDE, RIVALS, USUAL
from quickstudy.evaluation.numbers import count, listed, number
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.summary import headline
from quickstudy.protocol.errors import UsageError
from quickstudy.reports import canvas
from quickstudy.reports.canvas import Picture
from quickstudy.reports.charts import adaptation_curves
from quickstudy.reports.contender_tables import contender_tables
from quickstudy.reports.page_parts import grid, section, text
from quickstudy.reports.said_once import said_once
from quickstudy.reports.wording import Wording

HEADING = "For example: the first fifty recommendations to a new visitor"
_LOST = "Clicks lost so far against a shop that knows each visitor"
_WORDING = Wording(unit="clicks", step="recommendation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisitorsSection:
    """The part as markup, and its charts, whose files stand beside the page.

    Args:
      markup: with the charts in it; empty if there is nothing to show.
      pictures: the charts.
    """

    markup: str = ""
    pictures: Sequence[Picture] = ()


def visitors_section(evaluations: Sequence[Evaluation]) -> VisitorsSection:
    """Charts, one table and a few sentences on the evaluations of `measure_new_visitors`.

    Args:
      evaluations: those of both splits; none gives an empty part.
    Raises:
      UsageError: they lack a split or a contender.
    """
    if not evaluations:
        return VisitorsSection()
    by_split = {one.split: one for one in evaluations}
    wanted = {AGENT, GUARDED, *RIVALS}
    if not {USUAL, OUTSIDE} <= set(by_split) or any(not wanted <= set(one.results) for one in evaluations):
        raise UsageError(
            f"the evaluations on new visitors must hold the splits {USUAL} and {OUTSIDE}, and the contenders "
            f"{', '.join(sorted(wanted))}. Make them again with quickstudy demo --overwrite."
        )
    usual = _without(by_split[USUAL], GUARDED)
    shown, say = _WORDING.of(usual)
    pens = canvas.pens([(name, result.trained) for name, result in shown.results.items()])
    with canvas.words_of(say):
        pictures = [dataclasses.replace(one, name=f"visitors-{one.name}") for one in adaptation_curves(shown, pens)]
    reward, lost = pictures
    lost = dataclasses.replace(lost, title=_LOST, caption="Lower is better. Bands are pointwise 95 % intervals.")
    pictures = said_once([lost, reward])
    said = "".join(f"<p>{text(sentence)}</p>" for sentence in visitors_sentences(evaluations))
    return VisitorsSection(
        markup=section(HEADING, said + grid(pictures) + contender_tables(shown, pens, say)), pictures=pictures
    )


def visitors_sentences(evaluations: Sequence[Evaluation]) -> list[str]:
    """The sentences of the part, for a terminal.

    Args:
      evaluations: as of `visitors_section`, both splits.
    """
    by_split = {one.split: one for one in evaluations}
    return [*_saved(_without(by_split[USUAL], GUARDED)), _harm(by_split[USUAL], by_split[OUTSIDE])]


def _saved(usual: Evaluation) -> list[str]:
    """What is lost on usual visitors, and which differences are ties."""
    lost = {name: result.regret.value for name, result in usual.results.items() if result.regret is not None}
    others = [f"{name} {number(lost[name], 1)}" for name in RIVALS if name in lost]
    many = count(usual.tasks)
    return [
        f"This agent was trained earlier and comes with quickstudy. In {usual.lifetime_steps} recommendations to each of "
        f"{many} new visitors it loses {number(lost.get(AGENT), 1)} clicks against a shop that knows every taste; "
        f"{listed(others)}.",
        headline(usual).replace(" tasks ", " visitors "),
    ]


def _harm(usual: Evaluation, outside: Evaluation) -> str:
    """What the agent and its guard cost where the prior is wrong, and what the guard costs where it is right."""
    return (
        f"The agent may harm visitors who are outside of all clusters of the past. "
        f"There it has {_against(outside, AGENT, LINUCB)}, "
        f"and with its guard {_against(outside, GUARDED, LINUCB)}. On usual visitors the guarded agent has "
        f"{_against(usual, GUARDED, AGENT)}."
    )


def _against(evaluation: Evaluation, first: str, second: str) -> str:
    """`9.1 % [8.3, 9.9] fewer clicks than LinUCB`."""
    comparison = evaluation.compare(first, second)
    lift = None if comparison is None else comparison.lift
    if comparison is None or lift is None or lift.value is None or lift.low is None or lift.high is None:
        return f"an unknown number of clicks against {second}"
    more = lift.value > 0
    value, *ends = (100 * x if more else -100 * x for x in (lift.value, lift.low, lift.high))
    low, high = sorted(ends)
    tie = " (no significant difference)" if comparison.outcome == "tie" else ""
    interval = f"[{number(low, 1)}, {number(high, 1)}]"
    return f"{number(value, 1)} % {interval} {'more' if more else 'fewer'} clicks than {second}{tie}"


def _without(evaluation: Evaluation, name: str) -> Evaluation:
    """The evaluation as if a contender had not been measured, up to the chances of being the best."""
    return dataclasses.replace(
        evaluation,
        results={other: result for other, result in evaluation.results.items() if other != name},
        comparisons=tuple(one for one in evaluation.comparisons if name not in (one.first, one.second)),
    )
