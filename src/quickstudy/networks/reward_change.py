"""A recurrent core that is also told by how much the reward has changed since the step before.

Where rewards are dense, what says where the goal lies is how they change from step to step, and
a core that reads rewards alone has to learn first to take the difference of two large numbers. What it is worth:
docs/meta-world.md.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.networks.recurrent import GRU, LSTM, Linear
from quickstudy.protocol.records import record
from quickstudy.protocol.sequences import fill_forward, shift_right


@record
class RewardChangeState:
    """A core's `state`, the `last` reward as it comes `[*lifetimes]`, whether it `counts` `[*lifetimes]`, for it was of this
    episode, and what is `told` of it `[*lifetimes, 2]`: how high it was, and its change.
    """

    state: PyTree
    last: Float[Array, "*lifetimes"]
    counts: Bool[Array, "*lifetimes"]
    told: Float[Array, "*lifetimes 2"]


_MOST = 10.0


class RewardChangeCore(eqx.Module):
    """Hands its inputs on to a core, with a difference in the place of the last but one of them.

    The last three inputs are the reward around zero, the reward in units of its changes, and 1 where an episode ended, else 0.
    The core reads, in the place of the second, what the reward is above that of the step before, within ±10, and 0 at the first
    step of an episode. What it has read of the last reward it also hands on, beside its own output: heads that read it directly
    learn sooner to turn round where things get worse.
    """

    core: GRU | LSTM | Linear

    def initial(self, *lifetimes: int) -> RewardChangeState:
        """The state before anything was lived."""
        nothing = jnp.zeros(lifetimes)
        told = jnp.zeros((*lifetimes, 2))
        return RewardChangeState(state=self.core.initial(*lifetimes), last=nothing, counts=nothing > 0, told=told)

    def run(
        self, hidden: RewardChangeState, inputs: Float[Array, "T *lifetimes inputs"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[RewardChangeState, RewardChangeState]:
        """The state after the last step and after each; a step that is not valid changes nothing."""
        reward, boundary = inputs[..., -2], inputs[..., -1:] > 0
        last, counts = fill_forward((reward, ~boundary[..., 0]), (hidden.last, hidden.counts), valid)
        before = shift_right((hidden.last, hidden.counts), (last, counts))
        change = jnp.where(before[1], jnp.clip(reward - before[0], -_MOST, _MOST), 0.0)
        fresh = jnp.stack([inputs[..., -3], change], axis=-1)
        read = jnp.concatenate([inputs[..., :-3], fresh, inputs[..., -1:]], axis=-1)
        state, states = self.core.run(hidden.state, read, valid)
        # Of the episode before, nothing is said when the next one begins.
        told = fill_forward(jnp.where(boundary, 0.0, fresh), hidden.told, valid)
        every = RewardChangeState(state=states, last=last, counts=counts, told=told)
        newest = jax.tree.map(lambda leaf: leaf[-1], (last, counts, told))
        return RewardChangeState(state=state, last=newest[0], counts=newest[1], told=newest[2]), every

    def output(self, hidden: RewardChangeState) -> Float[Array, "*time read"]:
        """What the heads read: the output of the core, the last reward and its change."""
        return jnp.concatenate([self.core.output(hidden.state), hidden.told], axis=-1)
