"""A linear model of the remaining return under a target policy, fitted backwards to logged sessions.

    y_t = r_t + v_{t+1}        θ_t = (Xᵀ X + Λ)⁻¹ Xᵀ y_t        q_t(x, a) = φ(x, a) · θ_t        v_t(x) = Σ_a π_t(a) q_t(x, a)

φ(x, a) holds a constant, one number for each action, and the features x. If there are many sessions, each action has its own
copy of the features.
Λ penalises all but the constant. One fit for each decision of a session, from the last to the first. The rewards of a session
are predicted by models that were fitted without it (cross-fitting), so their errors do not depend on its rewards.

DM uses the fit to all sessions. Its linearised values carry the error of every fit back to the first decision:

    A_t = (Xᵀ X + Λ) / n                      φ'_t = Σ_a π_t(a) φ(x_t, a)
    g_0 = mean of φ'_0                        g_{t+1} = mean of φ'_{t+1} (φ(x_t, a_t) · A_t⁻¹ g_t)
    value = v_0 + c Σ_t (A_t⁻¹ g_t) · φ(x_t, a_t) (y_t − q_t)

c² = n / (n − numbers of θ_t), because residuals of a fit are smaller than its errors (HC1).

Sources: Le et al. 2019 (fitted Q evaluation); Chernozhukov et al. 2018 (cross-fitting). Changed: one fit a decision.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from quickstudy.numerics.off_policy import ActionValues

_FOLDS = 5
_PENALTY = 1.0
"""Ridge penalty of standardised features, in rows."""
_ROWS_PER_NUMBER = 5
"""Rows that each number of the larger model needs; with fewer, features do not depend on the action."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Data:
    """Logged rows as a fit reads them: features of the logged action, and their mean over the target's actions."""

    chosen: Float[np.ndarray, "rows T numbers"]
    target: Float[np.ndarray, "rows T numbers"]
    rewards: Float[np.ndarray, "rows T"]
    valid: Bool[np.ndarray, "rows T"]


def fitted_action_values(
    features: Float[np.ndarray, "rows T features"],
    actions: Int[np.ndarray, "rows T"],
    rewards: Float[np.ndarray, "rows T"],
    target: Float[np.ndarray, "rows T actions"],
    *,
    valid: Bool[np.ndarray, "rows T"] | None = None,
    session: Int[np.ndarray, " rows"] | None = None,
) -> ActionValues:
    """Action values of a target policy from logged rows, for DM, DR and SWITCH-DR.

    Args:
      features: what is known before a decision.
      actions: logged actions, from 0 on.
      rewards: of the logged actions, reward units.
      target: probability of every action under the target policy, given what happened before.
      valid: decisions that were made. All if not given.
      session: number of the session of each row; a session is in one fold. Each row its own if not given.
    """
    valid = np.ones(rewards.shape, bool) if valid is None else valid
    number = np.unique(np.arange(len(rewards)) if session is None else session, return_inverse=True)[1]
    data = _data(features, actions, rewards, target, valid)
    fold = number % min(_FOLDS, int(number.max()) + 1)
    chosen, expected = np.zeros(rewards.shape), np.zeros(rewards.shape)
    for one in np.unique(fold):
        fits = _fits(data, fold != one)
        for values, seen in ((chosen, data.chosen), (expected, data.target)):
            values[fold == one] = np.einsum("rtn,tn->rt", seen[fold == one], fits)
    return ActionValues(chosen=chosen, target=expected, direct=_direct(data))


def _data(features: np.ndarray, actions: np.ndarray, rewards: np.ndarray, target: np.ndarray, valid: np.ndarray) -> _Data:
    rows, steps, count = target.shape
    known = np.where(valid[..., None], features, 0.0).astype(np.float64)
    scale = known[valid].std(axis=0)
    known = (known - known[valid].mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
    taken = np.eye(count)[np.where(valid, actions, 0)]
    target = np.where(valid[..., None], target, 1 / count)
    crossed = rows >= _ROWS_PER_NUMBER * (1 + count * (1 + known.shape[2]))

    def numbers(probabilities: np.ndarray) -> np.ndarray:
        products = probabilities[..., :, None] * known[..., None, :] if crossed else known
        parts = [np.ones((rows, steps, 1)), probabilities, products.reshape(rows, steps, -1)]
        return np.where(valid[..., None], np.concatenate(parts, axis=-1), 0.0)

    return _Data(
        chosen=numbers(taken), target=numbers(target), rewards=np.where(valid, rewards, 0.0).astype(np.float64), valid=valid
    )


def _fits(data: _Data, used: Bool[np.ndarray, " rows"]) -> Float[np.ndarray, "T numbers"]:
    """θ of every decision, from the rows that are used."""
    fits = np.zeros(data.chosen.shape[1:])
    following = np.zeros(int(used.sum()))
    for step in reversed(range(len(fits))):
        seen = data.chosen[used, step]
        fits[step] = np.linalg.solve(_gram(seen), seen.T @ (data.rewards[used, step] + following))
        following = data.target[used, step] @ fits[step]
    return fits


def _gram(seen: Float[np.ndarray, "rows numbers"]) -> Float[np.ndarray, "numbers numbers"]:
    penalty = np.full(seen.shape[1], _PENALTY)
    penalty[0] = 1e-9
    return seen.T @ seen + np.diag(penalty)


def _direct(data: _Data) -> Float[np.ndarray, " rows"]:
    """Linearised values of DM: their mean is DM itself, apart from the effect of the penalty."""
    fits, rows = _fits(data, np.ones(len(data.rewards), bool)), len(data.rewards)
    values = np.einsum("rtn,tn->rt", data.target, fits)
    weight = data.target[:, 0].mean(axis=0)
    larger = (rows / max(rows - data.chosen.shape[2], 1)) ** 0.5
    total, following = values[:, 0].copy(), np.concatenate([values[:, 1:], np.zeros((rows, 1))], axis=1)
    for step in range(len(fits)):
        seen = data.chosen[:, step]
        pulled = np.linalg.solve(_gram(seen), weight * rows)
        total += larger * (seen @ pulled) * (data.rewards[:, step] + following[:, step] - seen @ fits[step])
        if step + 1 < len(fits):
            weight = data.target[:, step + 1].T @ (seen @ pulled) / rows
    return total
