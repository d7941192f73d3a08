"""RL² whose policy head takes policy-gradient steps between episodes: memory within an episode, gradients across them.

The agent is RL²'s, but the weights W of its policy head are memory too. Within an episode W does not change. An eligibility
trace and a gradient add up, one step at a time. At the end of the episode W moves by the gradient:

    e_t = ∇_W log π(a_t) + γ λ e_{t−1}        δ_t = r_t + γ b_{t+1} − b_t        g = Σ_t δ_t e_t
    W ← W + α ⊙ g / horizon                   at the end of an episode, where e and g begin again at zero

This is an actor-critic step with traces (Sutton and Barto 2018, section 13.6), put off to the end of the episode. Its memory
has one size however long a lifetime is, and it stores no experience, so it runs wherever RL² runs. The critic b is a linear
head that reads what the policy's head reads. The critic, the rates α (one for each weight) and the start of W are
meta-learned by the gradient that flows through the inner steps. That gradient is of the return of the lifetime. With α = 0
the agent is RL².

The outer loop is RL²'s. The agent is unpublished. It puts MAML's inner step (Finn et al. 2017) on the head alone (Raghu et al.
2020), with learned rates (Li et al. 2017) and a learned critic (Sung et al. 2017), inside RL² (Duan et al. 2016).
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from quickstudy.algorithms.drawing import drawn, drawn_along
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, Params, lifetime_ppo
from quickstudy.networks.actor_critic import ActorCritic
from quickstudy.networks.layers import Dense
from quickstudy.networks.memory_network import MemoryNetworkConfig, first_statistics
from quickstudy.numerics.distributions import policy_over
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where
from quickstudy.protocol.settings import check_above_zero, check_fractions


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadStepConfig:
    """Settings of the inner steps of the policy head."""

    inner_rate: float = 0.1
    """Size of an inner step at the start; the rates are then meta-learned."""
    inner_discount: float = 0.95
    """Discount per step, within an episode."""
    inner_trace_decay: float = 0.9
    """Lambda of the traces."""

    def __post_init__(self) -> None:
        check_above_zero(self, "inner_rate")
        check_fractions(self, "inner_discount", "inner_trace_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """Settings of the hybrid."""

    network: MemoryNetworkConfig = MemoryNetworkConfig()
    inner: HeadStepConfig = HeadStepConfig()
    ppo: LifetimePPOConfig = LifetimePPOConfig()


class HybridNetwork(eqx.Module):
    """The trained weights: an actor-critic whose policy head is a start, the critic and the rates of the inner steps."""

    actor_critic: ActorCritic
    critic: Dense
    rates: Dense

    def __init__(self, spec: Spec, config: HybridConfig, *, key: PRNGKeyArray):
        """The critic starts at zero."""
        self.actor_critic = ActorCritic(spec, config.network, key=key)
        self.critic = Dense(config.network.hidden_size, 1, gain=0.0, key=key)
        self.rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, config.inner.inner_rate), self.actor_critic.policy)


@record
class FastWeights:
    """The policy head as it is now, the trace of its eligibility, and the gradient that has added up in this episode."""

    head: Dense
    trace: Dense
    gradient: Dense


@record
class Memory:
    """The hidden state of the core, and the head's weights."""

    hidden: PyTree
    fast: FastWeights


def hybrid(spec: Spec, config: HybridConfig = HybridConfig()) -> MetaAlgorithm:
    """The hybrid for tasks of this spec.

    Args:
      spec: any observations, any actions.
      config: its settings.
    """
    return lifetime_ppo("hybrid", spec, config, hybrid_agent(spec, config), ppo=config.ppo)


def hybrid_agent(spec: Spec, config: HybridConfig) -> Agent:
    """The agent alone."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=HybridNetwork(spec, config, key=key), statistics=first_statistics(spec, config.network))

    def begin(params: Params, key: PRNGKeyArray) -> Memory:
        del key
        network = params.network.actor_critic
        return Memory(hidden=network.core.initial(spec), fast=_first_weights(network.policy))

    def decide(params: Params, features: Array, numbers: Array) -> dict[str, PyTree]:
        """Value from what the heads read; policy from the numbers of the policy head as it is now."""
        heads = params.network.actor_critic.heads(features, params.statistics, spec)
        return heads | {"policy": policy_over(numbers, spec.action_space)}

    def act(params: Params, memory: Memory, observation: Array, key: PRNGKeyArray) -> Decision:
        network = params.network.actor_critic
        seen = network.encoder(params.statistics, observation, spec)
        features = network.features(network.core.read(memory.hidden, seen), seen)
        return drawn(decide(params, features, memory.fast.head(features)), key)

    def adapt(params: Params, memory: Memory, experience: Transition, key: PRNGKeyArray) -> Memory:
        del key
        network, statistics = params.network.actor_critic, params.statistics
        seen, following = (
            network.encoder(statistics, o, spec) for o in (experience.observation, experience.outcome.observation)
        )
        hidden, features, error = _forward(params, memory.hidden, experience, seen, following, spec, config.inner)
        return Memory(
            hidden=hidden, fast=_head_steps(params, memory.fast, (features, error, experience), spec, config.inner)[0]
        )

    def unroll(params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[Memory, Decision]:
        network = params.network.actor_critic
        seen, following = network.seen_along(params.statistics, lifetimes, spec)
        first = network.core.initial(spec, *lifetimes.valid.shape[1:])
        hidden, features, error = _forward(params, first, lifetimes, seen, following, spec, config.inner)
        head_steps = lambda steps: _head_steps(params, _first_weights(network.policy), steps, spec, config.inner)  # noqa: E731
        for _ in lifetimes.valid.shape[1:]:
            head_steps = jax.vmap(head_steps, 1, (0, 1))
        fast, numbers = head_steps((features, error, lifetimes))
        return Memory(hidden=hidden, fast=fast), drawn_along(decide(params, features, numbers), key, spec)

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt).with_fast_unroll(unroll)


def _first_weights(head: Dense) -> FastWeights:
    """The fast weights at the start of a lifetime."""
    nothing = jax.tree.map(jnp.zeros_like, head)
    return FastWeights(head=head, trace=nothing, gradient=nothing)


def _forward(
    params: Params, hidden: PyTree, steps: Transition, seen: Array, following: Array, spec: Spec, config: HeadStepConfig
) -> tuple[PyTree, Float[Array, "T *lifetimes hidden"], Float[Array, "T *lifetimes"]]:
    """The hidden state after these steps; at every step what the heads read, and δ. None depends on the fast weights."""
    network, statistics, critic = params.network.actor_critic, params.statistics, params.network.critic
    inputs = network.inputs(statistics, steps, seen, following, spec)
    last, read = network.core.run(hidden, inputs, seen, steps.valid)
    features = network.features(read, seen)
    # Within an episode the successor of a step is the observation of the next. Values beyond an episode are not used.
    after_last = network.features(network.core.read(last, following[-1]), following[-1])
    values = critic(jnp.concatenate([features, after_last[None]]))[..., 0]
    reward = steps.outcome.reward / statistics.scale(statistics.reward)
    return last, features, reward + config.inner_discount * jnp.where(steps.boundary, 0.0, values[1:]) - values[:-1]


def _head_steps(
    params: Params, fast: FastWeights, steps: tuple, spec: Spec, config: HeadStepConfig
) -> tuple[FastWeights, Float[Array, "T numbers"]]:
    """The fast weights after the steps of one lifetime `[T]`; the policy's numbers at each step, before its own inner step."""
    rates, decay = params.network.rates, config.inner_discount * config.inner_trace_decay

    def step(fast: FastWeights, now: tuple) -> tuple[FastWeights, Array]:
        features, error, transition = now

        def log_probability(head: Dense) -> tuple[Array, Array]:
            numbers = head(features)
            return policy_over(numbers, spec.action_space).log_probability(transition.decision.action), numbers

        slope, numbers = jax.grad(log_probability, has_aux=True)(fast.head)
        trace = jax.tree.map(lambda e, slope: decay * e + slope, fast.trace, slope)
        gradient = jax.tree.map(lambda g, e: g + error * e, fast.gradient, trace)
        head = jax.tree.map(lambda weight, rate, g: weight + rate * g / spec.horizon, fast.head, rates, gradient)
        nothing = jax.tree.map(jnp.zeros_like, trace)
        ended = FastWeights(head=head, trace=nothing, gradient=nothing)
        following = where(transition.boundary, ended, FastWeights(head=fast.head, trace=trace, gradient=gradient))
        return where(transition.valid, following, fast), numbers

    return scan(step, fast, steps)
