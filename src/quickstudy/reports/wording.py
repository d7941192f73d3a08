"""The words of a page's readers: the name of the agent, what a reward counts, and what a step is.

A page about a shop says "conversions" and "visitor" where others say "reward" and "step". Names of contenders are never changed
by this, also if they contain such words. Only the agent itself can have another name.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from quickstudy.evaluation.results import Evaluation, Result
from quickstudy.evaluation.summary import subject
from quickstudy.protocol.errors import UsageError

Say = Callable[[str], str]
Rule = tuple[str, Callable[[re.Match[str]], str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wording:
    """Words in place of the usual ones; empty ones leave the usual.

    Args:
      agent: name of the agent that the page is about.
      unit: what rewards count, in the plural: `"conversions"`.
      step: one step of an episode, in the singular: `"visitor"`.
    """

    agent: str = ""
    unit: str = ""
    step: str = ""

    def renamed(self, evaluations: Sequence[Evaluation], *, main: Evaluation) -> list[Evaluation]:
        """The evaluations with the agent under its new name, and its controls after it.

        Args:
          evaluations: of one page.
          main: the one that the summary is about.
        Raises:
          UsageError: another contender has that name.
        """
        old = subject(main)
        if not self.agent or self.agent == old or not main.results[old].trained:
            return list(evaluations)
        self.check(name for one in evaluations for name in one.results)
        return [_renamed(one, old, self.agent) for one in evaluations]

    def check(self, others: Iterable[str]) -> None:
        """Raises UsageError if the new name of the agent is one of these, which are names of other contenders."""
        if self.agent in set(others):
            raise UsageError(f"another contender is called {self.agent!r} already. Give the agent another name.")

    def of(self, evaluation: Evaluation) -> tuple[Evaluation, Say]:
        """One evaluation with the agent under its new name, and what replaces the usual words in text about it."""
        (renamed,) = self.renamed([evaluation], main=evaluation)
        return renamed, self.sayer([*renamed.results, str(evaluation.distribution["name"]), evaluation.label])

    def name_of(self, agent: str, *, main: Evaluation) -> str:
        """The name of a contender on the page: the new one, if it is the agent that the page is about."""
        old = subject(main)
        return self.agent if self.agent and agent == old and main.results[old].trained else agent

    def sayer(self, names: Iterable[str]) -> Say:
        """What replaces the usual words in a text, and leaves these names as they are."""
        rules = [*_unit_rules(self.unit), *_step_rules(self.step)]
        ordered = sorted({name for name in names if name}, key=len, reverse=True)
        between = re.compile(f"({'|'.join(map(re.escape, ordered))})" if ordered else r"(?!)()")

        def say(text: str) -> str:
            parts = between.split(text) if rules else [text]
            # Every second part is a name.
            parts[::2] = [_replaced(part, rules) for part in parts[::2]]
            return "".join(parts)

        return say


def _unit_rules(unit: str) -> list[Rule]:
    if not unit:
        return []
    return [
        (r"^return$", lambda found: unit),
        (r"\b[Ll]ifetime return\b", lambda found: f"{unit} per lifetime"),
        (r"\b[Rr]eturn (of an|of each) episode\b", lambda found: f"{unit} {found[1]} episode"),
        (r"\b[Rr]eturn (so far|in the episode)\b", lambda found: f"{unit} {found[1]}"),
        (r"\b[Cc]umulative return\b", lambda found: f"cumulative {unit}"),
        (r"\b[Cc]umulative regret\b", lambda found: f"cumulative regret in {unit}"),
        (r"\] per lifetime\b", lambda found: f"] {unit} per lifetime"),
        (r"\b[Rr]ewards?\b", lambda found: unit),
    ]


def _step_rules(step: str) -> list[Rule]:
    if not step:
        return []
    plural = _plural(step)
    return [(r"\b(?:[Ee]nvironment )?[Ss]teps\b", lambda found: plural), (r"\b[Ss]tep\b", lambda found: step)]


def _plural(noun: str) -> str:
    """An English noun in the plural; one that ends with an s is taken for a plural already."""
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    if noun.endswith(("ch", "sh", "x", "z")):
        return f"{noun}es"
    return noun if noun.endswith("s") else f"{noun}s"


def _replaced(text: str, rules: Sequence[Rule]) -> str:
    """The text with every rule applied; what began with a capital letter still does."""
    for pattern, words in rules:
        for found in reversed(list(re.finditer(pattern, text))):
            new = words(found)
            new = new[0].upper() + new[1:] if found[0][0].isupper() else new
            text = text[: found.start()] + new + text[found.end() :]
    return text


def _renamed(evaluation: Evaluation, old: str, new: str) -> Evaluation:
    names = {name: _new_name(name, result, old, new) for name, result in evaluation.results.items()}
    results = {
        names[name]: result
        if result.control is None
        else dataclasses.replace(result, control=dataclasses.replace(result.control, agent=names[result.control.agent]))
        for name, result in evaluation.results.items()
    }
    comparisons = tuple(
        dataclasses.replace(one, first=names[one.first], second=names[one.second]) for one in evaluation.comparisons
    )
    return dataclasses.replace(evaluation, results=results, comparisons=comparisons, reference=names[evaluation.reference])


def _new_name(name: str, result: Result, old: str, new: str) -> str:
    if name == old:
        return new
    return name.replace(old, new, 1) if result.control is not None and result.control.agent == old else name
