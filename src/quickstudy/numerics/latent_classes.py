"""Classes of visitors with click probabilities of their own, estimated from who clicked on what.

    visitor v belongs to class k with probability 1 / K; clicks on item i ~ Bernoulli(p_ki), independent given the class

Expectation-maximisation (Dempster et al. 1977). Probabilities are shrunk towards those of the item over all visitors, with the
weight of `PRIOR` views. Classes are equally frequent, as in the tasks that they are fitted for.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

PRIOR = 12.0
_STARTS, _ROUNDS = 4, 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentClasses:
    """`probability` `[classes, items]` of a click; `log_likelihood` of the data, in nats."""

    probability: Float[np.ndarray, "classes items"]
    log_likelihood: float


def fit_classes(
    shows: Float[np.ndarray, "visitors items"], clicks: Float[np.ndarray, "visitors items"], *, classes: int, seed: int
) -> LatentClasses:
    """The best of a few runs.

    Args:
      shows: how often each visitor saw each item.
      clicks: how many of these views were clicked.
      classes: at least 1.
      seed: of the random starts of the runs.
    """
    random = np.random.default_rng(seed)
    usual = (clicks.sum(0) + 1.0) / (shows.sum(0) + 2.0)
    best: LatentClasses | None = None
    for _ in range(_STARTS):
        weights = random.dirichlet(np.full(classes, 0.3), len(shows))
        for _ in range(_ROUNDS):
            probability = (weights.T @ clicks + PRIOR * usual) / (weights.T @ shows + PRIOR)
            weights = class_weights(probability, shows, clicks)
        found = LatentClasses(probability=probability, log_likelihood=log_likelihood(probability, shows, clicks))
        best = found if best is None or found.log_likelihood > best.log_likelihood else best
    assert best is not None
    return best


def class_weights(
    probability: Float[np.ndarray, "classes items"],
    shows: Float[np.ndarray, "visitors items"],
    clicks: Float[np.ndarray, "visitors items"],
) -> Float[np.ndarray, "visitors classes"]:
    """The probability of each class given what a visitor did."""
    logs = _logs(probability, shows, clicks)
    weights = np.exp(logs - logs.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def log_likelihood(
    probability: Float[np.ndarray, "classes items"],
    shows: Float[np.ndarray, "visitors items"],
    clicks: Float[np.ndarray, "visitors items"],
) -> float:
    """The logarithm of the likelihood of all visitors, in nats."""
    logs = _logs(probability, shows, clicks)
    most = logs.max(1)
    return float((most + np.log(np.exp(logs - most[:, None]).mean(1))).sum())


def _logs(probability: np.ndarray, shows: np.ndarray, clicks: np.ndarray) -> np.ndarray:
    return clicks @ np.log(probability).T + (shows - clicks) @ np.log1p(-probability).T
