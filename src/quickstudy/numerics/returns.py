"""Returns and advantages along one lifetime."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.protocol.errors import SpecError


def generalised_advantage(
    reward_t: Float[Array, " T"],
    value_t: Float[Array, " T"],
    valid_t: Bool[Array, " T"],
    *,
    discount: float,
    trace_decay: float,
) -> tuple[Float[Array, " T"], Float[Array, " T"]]:
    """Generalised advantage estimates along one lifetime, over its valid steps as if the others did not exist.

        δ_t = r_t + γ v_{t'} − v_t        A_t = δ_t + γ λ A_{t'}        t' = the next valid step; v, A = 0 after the last

    The end of an episode does not cut the sum: learning in one episode increases rewards in the next. Only the lifetime ends.

    Args:
      reward_t: `[T]`, reward units; received for the action at step t.
      value_t: `[T]`, reward units; expected remaining return of the lifetime, before acting at t.
      valid_t: `[T]`; steps that happened.
      discount: γ in [0, 1], per valid step.
      trace_decay: λ in [0, 1].
    Returns:
      Advantages `[T]` and value targets `[T]`, in reward units; 0 and value_t where not valid.
    Raises:
      SpecError: the three sequences differ in length.
    Example:
      >>> generalised_advantage(jnp.ones(2), jnp.zeros(2), jnp.ones(2, bool), discount=1.0, trace_decay=1.0)[0]
      Array([2., 1.], dtype=float32)
    Source: Schulman et al. 2016, eq. 16. Changed: steps that did not happen are skipped.
    """
    if not reward_t.shape == value_t.shape == valid_t.shape:
        raise SpecError(f"rewards {reward_t.shape}, values {value_t.shape}, mask {valid_t.shape} differ in shape.")

    def backwards(carry: tuple[Array, Array], x: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        advantage_next, value_next = carry
        reward, value, valid = x
        delta = reward + discount * value_next - value
        advantage = delta + discount * trace_decay * advantage_next
        following = (jnp.where(valid, advantage, advantage_next), jnp.where(valid, value, value_next))
        return following, jnp.where(valid, advantage, jnp.zeros_like(advantage))

    nothing = jnp.zeros_like(value_t[0])
    _, advantage_t = jax.lax.scan(backwards, (nothing, nothing), (reward_t, value_t, valid_t), reverse=True)
    return advantage_t, advantage_t + value_t


def returns_to_go(
    reward_t: Float[Array, "T *lifetimes"], valid_t: Bool[Array, "T *lifetimes"], *, discount: float
) -> Float[Array, "T *lifetimes"]:
    """Discounted returns from each step on, per valid step; where a step is not valid, the return of the next valid one.

    Args:
      reward_t: `[T, ...]`, reward units; received for the action at step t.
      valid_t: `[T, ...]`; steps that happened.
      discount: γ in [0, 1].
    Example:
      >>> returns_to_go(jnp.ones(3), jnp.ones(3, bool), discount=0.5)
      Array([1.75, 1.5 , 1.  ], dtype=float32)
    """

    def backwards(later: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, valid = x
        sum_ = jnp.where(valid, reward + discount * later, later)
        return sum_, sum_

    return jax.lax.scan(backwards, jnp.zeros_like(reward_t[0]), (reward_t, valid_t), reverse=True)[1]
