"""`quickstudy audit evaluate STORE BUNDLE`: the return that the agent of a bundle would have had in the logged sessions."""

import math
from typing import Any

from rich.table import Table

from quickstudy.cli.console import Console, say
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.evaluated import Evaluated, evaluate_policy
from quickstudy.serving.replayed import agent_policy
from quickstudy.serving.stores.store import Store
from quickstudy.storage.bundle import load_bundle

ASSUMES = {
    "IPS": "the logged probabilities are right",
    "SNIPS": "as IPS; a small bias, shorter intervals",
    "DM": "the linear model is right",
    "DR": "as IPS; the model shortens the interval",
    "SWITCH-DR": "as DR below the weight limit, as DM above",
}
"""What each estimator needs to be right."""


def evaluated(store: Store, path: str, asked: Any) -> None:
    """Prints a table with all estimators, and how far the log supports them.

    Args:
      store: with the sessions.
      path: of the bundle.
      asked: the arguments of `quickstudy audit`.
    """
    if asked.unknown_reward is not None and not math.isfinite(asked.unknown_reward):
        raise UsageError(f"unknown_reward must be a finite number, or left out; came {asked.unknown_reward!r}.")
    bundle = load_bundle(path)
    found = evaluate_policy(
        store,
        agent_policy(bundle.agent, bundle.params_of(asked.seed), seed=asked.seed),
        decisions=asked.decisions,
        tenant=asked.tenant,
        agent=asked.version,
        unknown_reward=asked.unknown_reward,
    )
    Console().print(table_of(found, decisions=asked.decisions))
    say("\n".join(support_of(found)))


def table_of(found: Evaluated, *, decisions: int) -> Table:
    """Every estimator with its intervals and what it assumes."""
    table = Table(title=f"Return of the first {decisions} decisions, with 95 % intervals over sessions", title_justify="left")
    for column in ("estimator", "return", "minus logged", "assumes that"):
        table.add_column(column, justify="left" if column in ("estimator", "assumes that") else "right", no_wrap=True)
    report = found.report
    table.add_row("logged agent", _number(report.logged), "", "")
    for name, estimate in report.estimates.items():
        table.add_row(name, _number(estimate), _number(report.differences[name]), ASSUMES[name])
    return table


def support_of(found: Evaluated) -> list[str]:
    """How far the log supports the estimates, as sentences."""
    log, report = found.log, found.report
    left = sum(log.left_out.values())
    reasons = f" ({'; '.join(f'{count}: {reason}' for reason, count in sorted(log.left_out.items()))})" if left else ""
    said = [
        f"{len(log.lifetimes)} lifetimes of {report.sessions} independent sessions; {left} left out{reasons}.",
        f"Effective sample size {report.effective_sessions:.1f} sessions; largest weight {report.largest_weight:.3g}; "
        f"estimated share without support {report.unsupported_share:.1%}.",
        "All estimators assume that sessions are independent, and that rewards follow from actions as they did in the log.",
    ]
    if log.late > 0:
        said.append(
            f"{log.late:.1%} of the decisions came before an earlier reward. The evaluated agent is given rewards at once."
        )
    if "DM" not in report.estimates:
        said.append("DM, DR and SWITCH-DR need Discrete actions.")
    return said


def _number(estimate: Any) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
