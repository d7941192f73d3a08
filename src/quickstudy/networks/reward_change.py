"""A core that also reads by how much the reward has changed since the step before.

Where rewards are dense, their change from step to step shows where the goal lies. A core that reads rewards alone must first
learn to subtract two large numbers. docs/meta-world.md has measurements.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.networks.core import Core, CoreInputs
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.sequences import fill_forward, shift_right


@record
class RewardChangeState:
    """What the wrapped core remembers, and the last reward.

    `state`: of the core. `last` `[*lifetimes]`: the last reward, in units of its changes. `counts` `[*lifetimes]`: whether that
    reward was of the present episode. `newest` `[*lifetimes, 2]`: the last reward around zero, and its change.
    """

    state: PyTree
    last: Float[Array, "*lifetimes"]
    counts: Bool[Array, "*lifetimes"]
    newest: Float[Array, "*lifetimes 2"]


_MOST = 10.0


class RewardChangeCore(eqx.Module):
    """Puts the change of the reward in the place of one of the inputs of a core.

    The two numbers of a reward are the reward around zero, and the reward in units of its changes. The core gets, in the place
    of the second, the difference to the reward of the step before. The difference is cut to ±10. It is 0 at the first step of
    an episode. The heads also read the last reward and its change directly: so the
    policy learns sooner to turn back where rewards fall.
    """

    core: Core

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives."""
        return self.core.size(spec) + 2

    @property
    def each(self) -> int:
        """Numbers about each Discrete action, as the inner core gives them."""
        return self.core.each

    @property
    def exchangeable(self) -> bool:
        """The change of the reward depends on the order of the steps."""
        return False

    def initial(self, spec: Spec, *lifetimes: int) -> RewardChangeState:
        """The state before anything has happened."""
        nothing = jnp.zeros(lifetimes)
        newest = jnp.zeros((*lifetimes, 2))
        return RewardChangeState(state=self.core.initial(spec, *lifetimes), last=nothing, counts=nothing > 0, newest=newest)

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""
        inputs, after = self._with_change(state, inputs, valid)
        return self._last(self.core.take_in(state.state, inputs, valid), after)

    def read(self, state: PyTree, seen: Float[Array, "*time size"]) -> Float[Array, "*time read"]:
        """What the inner core reads, the last reward and its change."""
        return jnp.concatenate([self.core.read(state.state, seen), state.newest], axis=-1)

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes size"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes read"]]:
        """The state after the last step, and what was read before each step was taken in."""
        inputs, after = self._with_change(state, inputs, valid)
        last, features = self.core.run(state.state, inputs, seen, valid)
        newest = shift_right(state.newest, after[2])
        return self._last(last, after), jnp.concatenate([features, newest], axis=-1)

    def _with_change(
        self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[CoreInputs, tuple[Array, Array, Array]]:
        """The inner core's inputs; and after each step, `last`, `counts` and `newest` of the state."""
        reward, boundary = inputs.reward[..., 1], inputs.boundary > 0
        last, counts = fill_forward((reward, ~boundary[..., 0]), (state.last, state.counts), valid)
        before = shift_right((state.last, state.counts), (last, counts))
        change = jnp.where(before[1], jnp.clip(reward - before[0], -_MOST, _MOST), 0.0)
        fresh = jnp.stack([inputs.reward[..., 0], change], axis=-1)
        # At the first step of an episode, nothing is read of the episode before.
        newest = fill_forward(jnp.where(boundary, 0.0, fresh), state.newest, valid)
        return dataclasses.replace(inputs, reward=fresh), (last, counts, newest)

    @staticmethod
    def _last(state: PyTree, after: tuple[Array, Array, Array]) -> RewardChangeState:
        last, counts, newest = jax.tree.map(lambda leaf: leaf[-1], after)
        return RewardChangeState(state=state, last=last, counts=counts, newest=newest)
