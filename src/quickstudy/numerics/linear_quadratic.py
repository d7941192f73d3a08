"""The best control of a linear system with a quadratic cost and a known drift, from Riccati's equation.

    x' = A x + B u + w + noise,  noise ~ N(0, σ² I)        a step costs |x'|² + ρ |u|²

The cost that is still to come, xᵀ P x + 2 pᵀ x + c, follows backwards from that after the step, xᵀ P' x + 2 p'ᵀ x + c'. With
S = I + P' and M = ρ I + Bᵀ S B,

    u = -M⁻¹ Bᵀ (S A x + S w + p') = -K x - M⁻¹ Bᵀ q        q = S w + p'
    P = Aᵀ S (A - B K)        p = (A - B K)ᵀ q        c = c' + σ² tr S + wᵀ S w + 2 p'ᵀ w - qᵀ B M⁻¹ Bᵀ q

Source: Bertsekas 2017, on linear systems and quadratic cost. Changed: the drift, and that a step costs for where it ends.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.sequences import scan

_MOST_ITERATIONS = 10_000
_HOPELESS = 1e12


class Backwards(NamedTuple):
    """One step's part of the recursion, last step first where they are stacked. `weight` S; `gain` K; `solved` M⁻¹ Bᵀ."""

    weight: np.ndarray
    gain: np.ndarray
    solved: np.ndarray


def riccati(keeps: np.ndarray, pushes: np.ndarray, *, effort: float, steps: int) -> Backwards:
    """S, K and M⁻¹ Bᵀ of a number of steps, in float64, leading axis `[steps]`, the last step of all first.

    Args:
      keeps: A `[n, n]`.
      pushes: B `[n, a]`.
      effort: ρ, above 0.
      steps: number of steps with a cost; there is no cost after them.
    """
    to_come, parts = np.zeros_like(keeps, dtype=np.float64), []
    for _ in range(steps):
        parts.append(_one_back(keeps, pushes, effort, to_come))
        to_come = keeps.T @ parts[-1].weight @ (keeps - pushes @ parts[-1].gain)
    return Backwards(*(np.stack(part) for part in zip(*parts, strict=True)))


def stationary_control(keeps: np.ndarray, pushes: np.ndarray, *, effort: float) -> tuple[np.ndarray, np.ndarray]:
    """Feedback K `[a, n]` and feedforward G `[a, n]` of u = -K x - G w, the best in the long run; float64.

    Args:
      keeps: A `[n, n]`.
      pushes: B `[n, a]`.
      effort: ρ, above 0.
    Raises:
      UsageError: the recursion does not settle, because B cannot hold what A lets grow.
    """
    to_come = np.zeros_like(keeps, dtype=np.float64)
    for _ in range(_MOST_ITERATIONS):
        part = _one_back(keeps, pushes, effort, to_come)
        closed = keeps - pushes @ part.gain
        before, to_come = to_come, keeps.T @ part.weight @ closed
        if np.allclose(before, to_come, rtol=1e-13, atol=1e-13):
            # p = (A - B K)ᵀ (S w + p), so that q = S w + p = (I - (A - B K)ᵀ)⁻¹ S w.
            return part.gain, part.solved @ np.linalg.solve(np.eye(len(keeps)) - closed.T, part.weight)
        if np.abs(to_come).max() > _HOPELESS:
            break
    raise UsageError(
        f"Riccati's recursion does not settle: no control holds x' = A x + B u with A = {keeps.tolist()} and "
        f"B = {pushes.tolist()}. Choose a system whose growing directions B can push."
    )


def expected_cost(
    keeps: np.ndarray, pushes: np.ndarray, drifts: Float[Array, "steps n"], *, effort: float, start: float, noise: Array
) -> Float[Array, ""]:
    """Expected cost of the best control that knows the drift of every step beforehand, from x ~ N(0, start² I).

    Args:
      keeps: A `[n, n]`.
      pushes: B `[n, a]`.
      drifts: w of each step, in order of time.
      effort: ρ, above 0.
      start: standard deviation of each number of the first state.
      noise: σ `[]`.
    """
    parts = riccati(keeps, pushes, effort=effort, steps=drifts.shape[0])
    closed, a, b = (jnp.float32(m) for m in (keeps[None] - pushes[None] @ parts.gain, keeps, pushes))

    def back(carry: tuple[Array, Array], xs: tuple) -> tuple[tuple[Array, Array], None]:
        linear, constant = carry
        (weight, _, solved), closed, drift = xs
        pull = weight @ drift + linear
        constant = constant + drift @ weight @ drift + 2 * linear @ drift - (b.T @ pull) @ (solved @ pull)
        return (closed.T @ pull, constant + jnp.square(noise) * jnp.trace(weight)), None

    stacked = Backwards(*(jnp.float32(part) for part in parts))
    nothing = jnp.zeros(len(keeps)), jnp.float32(0.0)
    (_, constant), _ = scan(back, nothing, (stacked, closed, drifts[::-1]))
    return constant + start**2 * jnp.trace(a.T @ stacked.weight[-1] @ closed[-1])


def _one_back(keeps: np.ndarray, pushes: np.ndarray, effort: float, to_come: np.ndarray) -> Backwards:
    """One step of the recursion, from P' after it."""
    weight = np.eye(len(keeps)) + to_come
    solved = np.linalg.solve(effort * np.eye(pushes.shape[1]) + pushes.T @ weight @ pushes, pushes.T)
    return Backwards(weight=weight, gain=solved @ weight @ keeps, solved=solved)
