"""An example of the use of a meta-trained agent: the first fifty recommendations to new visitors.

The agent is a shipped bundle. It is measured on visitors as in its training, and on visitors outside of all clusters, with and
without a guard, beside three methods that a shop would use.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from quickstudy.evaluation.contenders import baselines_of, trained_contender
from quickstudy.evaluation.guarded import guarded_contender
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.splits import evaluate_splits
from quickstudy.rollout.envelope.rules import Envelope, SurpriseRule
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.envelope_file import StoredEnvelope

BUNDLE = "recommendation-50"
"""Name of the shipped bundle."""
FOLDER = "new-visitors"
"""Folder of these evaluations, within that of the run that they are shown with."""
USUAL, OUTSIDE = "test", "ood:outside-clusters"
"""Splits: visitors as in training, and visitors who belong to no cluster."""
AGENT, GUARDED, LINUCB = "rl2 (shipped)", "rl2 (shipped), guarded", "item LinUCB"
RIVALS = ("popularity", LINUCB, "mixture-prior Bayes")
SEEDS = (5, 5, *[1] * len(RIVALS))
"""Training seeds of the contenders: of the agent, with and without its guard, and of its rivals."""
GUARD = Envelope(
    fallback="item Bayes-UCB",
    surprise=SurpriseRule(
        p_value="task", enter_below=0.5, enter_steps=1, leave_above=0.5, leave_steps=1, monitor="careful mixture-prior Bayes"
    ),
)
"""The guard of docs/recommendation.md, which says how its threshold was chosen."""


def measure_new_visitors(
    bundle: str | Path,
    *,
    visitors: int,
    seed: int = 0,
    command: str = "",
    progress: Callable[[str, str, float], None] | None = None,
) -> Iterator[Evaluation]:
    """The evaluations of the example, on usual visitors first, each given as soon as it is done.

    Args:
      bundle: folder of the agent, trained on `recommendation`.
      visitors: of each of the two splits.
      seed: of the visitors, and of the common random numbers.
      command: that gives this evaluation again.
      progress: as of `evaluate_splits`.
    Raises:
      BundleError: the bundle cannot be read.
      UsageError: as of `evaluate`.
    """
    loaded = load_bundle(bundle)
    distribution = loaded.distribution()
    agent = trained_contender(loaded, distribution.spec)
    stored = StoredEnvelope(envelope=GUARD, readout=None, digest="")
    contenders = {AGENT: agent, GUARDED: guarded_contender(agent, stored, distribution)} | baselines_of(distribution, RIVALS)
    return evaluate_splits(
        contenders, distribution, splits=(USUAL, OUTSIDE), tasks=visitors, seed=seed, command=command, progress=progress,
        controls=False, decision_times=False,
    )  # fmt: skip
