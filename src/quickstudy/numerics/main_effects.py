"""Main effects of several settings on one number: an additive linear model, with intervals and tests.

Each observation has one value of every setting. A setting enters the model by one column or more: a level of a choice, or the
powers of a number. Columns are centred, so the curve of a setting is the mean over the observed values of the others:

    y_i = ȳ + Σ_j (x_ij − x̄_j) β_j + e_i        curve_j(c) = ȳ + (c − x̄_j) β_j

Errors are taken as independent and of equal variance. Interactions of settings are part of the error.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from quickstudy.numerics.statistics import Estimate

_LEVEL = 0.95
_EXACT = 1e-12
"""Share of the variance that is left by rounding alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MainEffect:
    """The effect of one setting, in the unit of what was observed.

    Args:
      curve: the mean at each point, with a 95 % interval for each point alone.
      best: place of the point with the largest mean.
      worst: place of the point with the smallest mean.
      difference: the mean at the best point minus that at the worst one. Its interval holds for all pairs of points at once
        (Scheffé), because the pair was chosen by the data.
      p_value: of the F test that the setting has no effect.
      share: of the variance between observations that the setting explains, without what chance explains (omega squared).
    """

    curve: tuple[Estimate, ...]
    best: int
    worst: int
    difference: Estimate
    p_value: float
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdditiveFit:
    """An additive model of several settings.

    Args:
      effects: by name of the setting.
      explained: share of the variance that all settings explain together, adjusted for their columns; in [0, 1].
      freedom: degrees of freedom that are left for the error.
    """

    effects: Mapping[str, MainEffect]
    explained: float
    freedom: int


def main_effects(
    columns: Mapping[str, Float[np.ndarray, "observations columns"]],
    points: Mapping[str, Float[np.ndarray, "points columns"]],
    observed: Float[np.ndarray, " observations"],
) -> AdditiveFit | None:
    """Fits the additive model by least squares.

        F_j = β_j' V_jj⁻¹ β_j / k_j        difference ± √(k_j F_0.95(k_j, ν) d' V_jj d)        V = s² (X'X)⁻¹

    Args:
      columns: of each setting, for every observation.
      points: of each setting, the columns at which its curve is wanted, at least one point.
      observed: one number for each observation.
    Returns:
      None where the observations are too few, or where the settings never vary independently of each other.
    Source: Scheffé 1959, chapter 3, for the intervals of chosen contrasts. Changed: nothing.
    """
    count = len(observed)
    means = {name: values.mean(0) for name, values in columns.items()}
    design = np.concatenate([columns[name] - means[name] for name in columns], axis=1)
    freedom = count - 1 - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    inverse = np.linalg.inv(design.T @ design)
    mean = float(observed.mean())
    weights = inverse @ design.T @ (observed - mean)
    total = float(((observed - mean) ** 2).sum())
    left = float(((observed - mean - design @ weights) ** 2).sum())
    left = 0.0 if left <= _EXACT * total else left
    variance = left / freedom
    effects, start = {}, 0
    for name, values in columns.items():
        part = slice(start, start := start + values.shape[1])
        effects[name] = _effect(
            weights[part], inverse[part, part], points[name] - means[name], mean=mean, variance=variance, freedom=freedom,
            count=count, total=total,
        )  # fmt: skip
    explained = 1 - variance / (total / (count - 1)) if total > 0 else 0.0
    return AdditiveFit(effects=effects, explained=max(0.0, explained), freedom=freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, so that the chance of one false finding or more stays at the level.

        p̃_(i) = max_{h ≤ i} min(1, (m − h + 1) p_(h))        in increasing order of p

    Args:
      p_values: of several tests.
    Returns:
      The adjusted ones, in the order given.
    Source: Holm 1979. Changed: nothing.
    Example:
      >>> holm([0.5, 0.25, 0.125])
      [0.5, 0.5, 0.375]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    ordered = np.maximum.accumulate(np.minimum(1.0, factors * np.asarray(p_values, float)[order]))
    adjusted = np.empty(len(p_values))
    adjusted[order] = ordered
    return adjusted.tolist()


def _effect(
    weights: Float[np.ndarray, " columns"],
    inverse: Float[np.ndarray, "columns columns"],
    points: Float[np.ndarray, "points columns"],
    *,
    mean: float,
    variance: float,
    freedom: int,
    count: int,
    total: float,
) -> MainEffect:
    """The effect of one setting from its part of the fit; the points are centred."""
    size = len(weights)
    curve = mean + points @ weights
    spreads = np.sqrt(variance * (1 / count + np.einsum("pi,ij,pj->p", points, inverse, points)))
    half = float(stats.t.ppf((1 + _LEVEL) / 2, freedom)) * spreads
    best, worst = int(curve.argmax()), int(curve.argmin())
    apart = points[best] - points[worst]
    wide = float(np.sqrt(size * stats.f.ppf(_LEVEL, size, freedom) * variance * (apart @ inverse @ apart)))
    difference = float(curve[best] - curve[worst])
    squares = float(weights @ np.linalg.solve(inverse, weights))
    if variance > 0:
        p_value = float(stats.f.sf(squares / size / variance, size, freedom))
    else:  # nothing is left of the error: the setting explains something, or it does not
        p_value = 0.0 if squares > _EXACT * total else 1.0
    return MainEffect(
        curve=tuple(Estimate(value=float(y), low=float(y - h), high=float(y + h)) for y, h in zip(curve, half, strict=True)),
        best=best,
        worst=worst,
        difference=Estimate(value=difference, low=difference - wide, high=difference + wide),
        p_value=p_value,
        share=max(0.0, (squares - size * variance) / total) if total > 0 else 0.0,
    )
