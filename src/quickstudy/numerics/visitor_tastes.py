"""Tastes of visitors, estimated from who was shown what and clicked on what.

A visitor of taste u clicks on item i with probability σ(base + strength x_i · u). Clusters are latent classes
(`latent_classes`). The log-odds of their clicks are factored into centres of clusters and vectors of items by a singular value
decomposition. The standard deviation of tastes around a centre follows from the correlation of one visitor's clicks on similar
items, given the cluster.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from quickstudy.numerics.latent_classes import class_weights, fit_classes, log_likelihood

CLUSTERS = (2, 4, 8, 12)
"""Numbers of clusters that are tried; the one that predicts other visitors best is taken."""
_LEAST_OFFSET = 0.02
_NEWTON_STEPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tastes:
    """What is fitted: `centres` `[clusters, d]`, `vectors` `[items, d]`, and numbers of the click model."""

    centres: Float[np.ndarray, "clusters d"]
    vectors: Float[np.ndarray, "items d"]
    base: float
    strength: float
    offset: float

    def chances(self, tastes: Float[np.ndarray, "visitors d"]) -> Float[np.ndarray, "visitors items"]:
        """Probability of a click of visitors of these tastes on each item."""
        return expit(self.base + self.strength * tastes @ self.vectors.T)

    @property
    def settings(self) -> dict[str, float | tuple[float, ...]]:
        """What is fitted, as settings of the tasks `recommendation`."""
        return {
            "offset": self.offset,
            "strength": self.strength,
            "base": self.base,
            "centres": tuple(self.centres.ravel().tolist()),
            "vectors": tuple(self.vectors.ravel().tolist()),
        }


def tastes_of(
    shows: Float[np.ndarray, "visitors items"], clicks: Float[np.ndarray, "visitors items"], *, clusters: int, seed: int
) -> Tastes:
    """Clusters, as centres and vectors of items.

    Args:
      shows: how often each visitor saw each item.
      clicks: how many of these views were clicked.
      clusters: how many.
      seed: of the estimation.
    Returns:
      Centres of mean length one, vectors of length about one, and what is left over as the strength.
    """
    probability = fit_classes(shows, clicks, classes=clusters, seed=seed).probability
    odds = np.log(probability / (1 - probability))
    base = float(odds.mean())
    left, sizes, right = np.linalg.svd(odds - base, full_matrices=False)
    centres, vectors = left * np.sqrt(sizes), right.T * np.sqrt(sizes)
    of_centres = max(float(np.mean(np.linalg.norm(centres, axis=1))), 1e-6)
    of_vectors = max(float(np.sqrt(np.mean(np.sum(vectors**2, axis=1)))), 1e-6)
    centres, vectors, strength = centres / of_centres, vectors / of_vectors, of_centres * of_vectors
    weights = class_weights(probability, shows, clicks)
    likely = weights.argmax(1)
    expected = probability[likely]
    residual = (clicks - shows * expected) @ vectors
    noise = shows * expected * (1 - expected)
    # E[(Σ_i residual_i x_i)²] = Σ_i noise_i |x_i|² + (strength · offset)² |Σ_i noise_i x_i xᵢᵀ|², for small offsets.
    beyond = np.square(residual).sum() - (noise @ np.square(vectors).sum(1)).sum()
    gram = np.einsum("vi,id,ie->vde", noise, vectors, vectors)
    offset = float(np.sqrt(max(beyond / max(np.square(gram).sum(), 1e-9), 0.0)) / strength)
    return Tastes(centres=centres, vectors=vectors, base=base, strength=strength, offset=max(offset, _LEAST_OFFSET))


def best_number_of_clusters(
    shows: Float[np.ndarray, "visitors items"], clicks: Float[np.ndarray, "visitors items"], *, seed: int
) -> int:
    """The number of `CLUSTERS` that, fitted to three quarters of these visitors, predicts the others best.

    Args:
      shows, clicks: as of `tastes_of`; the first quarter of the visitors is predicted.
      seed: of the estimation.
    """
    cut = len(shows) // 4
    found = {}
    for classes in [one for one in CLUSTERS if one <= max(2, (len(shows) - cut) // 5)]:
        fit = fit_classes(shows[cut:], clicks[cut:], classes=classes, seed=seed)
        found[classes] = log_likelihood(fit.probability, shows[:cut], clicks[:cut])
    return max(found, key=lambda classes: found[classes])


def completed_chances(
    shows: Float[np.ndarray, "visitors items"], clicks: Float[np.ndarray, "visitors items"], tastes: Tastes, *, trust: float
) -> Float[np.ndarray, "visitors items"]:
    """The probability of a click of each visitor on each item, from what this visitor did and, elsewhere, from the model.

        u = argmax  log N(u; mean of the centres, spread² I) + Σ_i log-likelihood of the visitor's clicks on i
        chance_i = (trust σ(base + strength x_i · u) + clicks_i) / (trust + shows_i)

    Args:
      shows, clicks: of visitors who may be others than those of the fit.
      tastes: the fit.
      trust: for how many views of an item the model counts, above 0.
    Source: the taste is the fold-in of Salakhutdinov & Mnih 2008, with a logistic likelihood.
    """
    middle = tastes.centres.mean(0)
    variance = tastes.offset**2 + np.square(tastes.centres - middle).mean()
    slopes = tastes.strength * tastes.vectors
    taste = np.tile(middle, (len(shows), 1))

    for _ in range(_NEWTON_STEPS):
        now = tastes.chances(taste)
        gradient = (clicks - shows * now) @ slopes - (taste - middle) / variance
        curvature = np.einsum("vi,id,ie->vde", shows * now * (1 - now), slopes, slopes) + np.eye(len(middle)) / variance
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        # A whole Newton step may overshoot where the curvature is small; a bounded one ends at the same optimum.
        taste = taste + step / np.maximum(1.0, np.linalg.norm(step, axis=1, keepdims=True))
    return (trust * tastes.chances(taste) + clicks) / (trust + shows)
