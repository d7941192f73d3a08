"""RL² whose policy head takes policy-gradient steps between episodes: memory within an episode, gradients across them.

The agent is RL²'s, but the weights W of its policy head are memory too. Within an episode they stand still while a trace of
eligibility and the gradient add up, one step at a time; at the end of the episode W moves by it:

    e_t = ∇_W log π(a_t) + γ λ e_{t−1}        δ_t = r_t + γ b_{t+1} − b_t        g = Σ_t δ_t e_t
    W ← W + α ⊙ g / horizon                   at the end of an episode, where e and g begin again at zero

This is an actor-critic step with traces (Sutton and Barto 2018, section 13.6), put off to the end of the episode. Its memory
has one size however long a life is, it asks for no store of what was lived, and so it runs where RL² runs. The critic b, a
linear head that reads what the policy's head reads, and the rates α, one for each weight, are meta-learned by the gradient that
flows through the inner steps, as the start of W is: nothing tells them what to be, only what is good for the return of the
lifetime. With α = 0 the agent is RL².

The outer loop is RL²'s. Nobody has published this agent: MAML's inner step (Finn et al. 2017) on the head alone (Raghu et al.
2020), with learned rates (Li et al. 2017) and a learned critic (Sung et al. 2017), inside RL² (Duan et al. 2016).
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.algorithms.lifetime_ppo import Params, trained_on_lifetimes
from quickstudy.algorithms.rl2 import Network, RL2Config, features, look, statistics_of, take_in
from quickstudy.networks.layers import Dense
from quickstudy.numerics.distributions import policy_over
from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, shift_right, where


@dataclasses.dataclass(frozen=True, kw_only=True)
class HybridConfig(RL2Config):
    """Settings of the hybrid: those of RL², and of its inner steps."""

    inner_rate: float = 0.1
    """Size of an inner step, where the meta-learned rates start."""
    inner_discount: float = 0.95
    """Per step, within an episode."""
    inner_trace_decay: float = 0.9
    """Lambda of the traces."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner_rate <= 0:
            raise UsageError(f"inner_rate must be above zero; came {self.inner_rate}.")
        for name in ("inner_discount", "inner_trace_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie within 0 and 1; came {getattr(self, name)}.")


class HybridNetwork(Network):
    """The trained weights of RL², where the policy head is a start, with the critic and the rates of the inner steps."""

    critic: Dense
    rates: Dense

    def __init__(self, spec: Spec, config: HybridConfig, *, key: PRNGKeyArray):
        """The critic starts at zero."""
        super().__init__(spec, config, key=key)
        self.critic = Dense(config.hidden_size, 1, gain=0.0, key=key)
        self.rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, config.inner_rate), self.policy)


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
      spec: any observations, Discrete or bounded Box actions.
      config: its settings.
    """

    def recall(params: Params, lifetimes: Transition, spec: Spec) -> tuple[Memory, dict[str, PyTree]]:
        return _recall(params, lifetimes, spec, config)

    return trained_on_lifetimes("hybrid", spec, config, hybrid_agent(spec, config), recall)


def hybrid_agent(spec: Spec, config: HybridConfig) -> Agent:
    """The agent alone."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=HybridNetwork(spec, config, key=key), statistics=statistics_of(spec, config))

    def begin(params: Params, key: PRNGKeyArray) -> Memory:
        del key
        return Memory(hidden=params.network.core.initial(), fast=_fast_weights(_network(params)))

    def act(params: Params, memory: Memory, observation: Array, key: PRNGKeyArray) -> Decision:
        shared = features(params, memory.hidden, look(params, observation, spec))
        extras = _extras(params, shared, memory.fast.head(shared), spec)
        action = extras["policy"].sample(key)
        return Decision(action=action, extras=extras | {"log_probability": extras["policy"].log_probability(action)})

    def adapt(params: Params, memory: Memory, experience: Transition, key: PRNGKeyArray) -> Memory:
        del key
        hidden, shared, surprise = _felt(params, memory.hidden, experience, spec, config)
        fast, _ = _moved(params, memory.fast, (shared, surprise, experience), spec, config)
        return Memory(hidden=hidden, fast=fast)

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Memory, Decision]:
        memory, extras = _recall(params, lifetime, spec, config)
        action = jax.vmap(lambda policy, key: policy.sample(key))(extras["policy"], slot_keys(key, spec)[:-1, 1])
        return memory, Decision(action=action, extras=extras | {"log_probability": extras["policy"].log_probability(action)})

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, unroll=unroll)


def _network(params: Params) -> HybridNetwork:
    """The weights, by the type that they have here."""
    assert isinstance(params.network, HybridNetwork)
    return params.network


def _fast_weights(network: HybridNetwork) -> FastWeights:
    """Before anything was lived."""
    nothing = jax.tree.map(jnp.zeros_like, network.policy)
    return FastWeights(head=network.policy, trace=nothing, gradient=nothing)


def _extras(params: Params, shared: Array, numbers: Array, spec: Spec) -> dict[str, PyTree]:
    """Policy and value, from what the heads read and from the policy head's numbers."""
    value = params.network.value(shared)[..., 0] * params.statistics.scale(params.statistics.value)
    return {"policy": policy_over(numbers, spec.action_space), "value": value}


def _recall(params: Params, lifetimes: Transition, spec: Spec, config: HybridConfig) -> tuple[Memory, dict[str, PyTree]]:
    """The memory at the end, and policy and value at every step, of one lifetime `[T]` or of many `[T, lifetimes]`."""
    begun = params.network.core.initial(*lifetimes.valid.shape[1:])
    hidden, shared, surprise = _felt(params, begun, lifetimes, spec, config)

    def moved(lived: tuple) -> tuple[FastWeights, Array]:
        return _moved(params, _fast_weights(_network(params)), lived, spec, config)

    along = moved if lifetimes.valid.ndim == 1 else jax.vmap(moved, 1, (0, 1))
    fast, numbers = along((shared, surprise, lifetimes))
    return Memory(hidden=hidden, fast=fast), _extras(params, shared, numbers, spec)


def _felt(
    params: Params, hidden: PyTree, lived: Transition, spec: Spec, config: HybridConfig
) -> tuple[PyTree, Float[Array, "T *lifetimes hidden"], Float[Array, "T *lifetimes"]]:
    """The hidden state at the end; at every step what the heads read, and δ. None of them depends on the fast weights."""
    seen, seen_next = (look(params, observation, spec) for observation in (lived.observation, lived.outcome.observation))
    read = take_in(params, lived, spec, seen=seen, following=seen_next)
    last, after = params.network.core.run(hidden, read, lived.valid)
    shared = features(params, shift_right(hidden, after), seen)
    following = features(params, after, seen_next)
    critic = _network(params).critic
    value, value_next = critic(shared)[..., 0], critic(following)[..., 0]
    reward = lived.outcome.reward / params.statistics.scale(params.statistics.reward)
    return last, shared, reward + config.inner_discount * jnp.where(lived.boundary, 0.0, value_next) - value


def _moved(
    params: Params, fast: FastWeights, lived: tuple, spec: Spec, config: HybridConfig
) -> tuple[FastWeights, Float[Array, "T numbers"]]:
    """The fast weights after the steps of one lifetime `[T]`, and the policy's numbers at each, before it was learned from."""
    rates, decay = _network(params).rates, config.inner_discount * config.inner_trace_decay

    def step(fast: FastWeights, now: tuple) -> tuple[FastWeights, Array]:
        shared, surprise, lived = now

        def log_probability(head: Dense) -> tuple[Array, Array]:
            numbers = head(shared)
            return policy_over(numbers, spec.action_space).log_probability(lived.decision.action), numbers

        slope, numbers = jax.grad(log_probability, has_aux=True)(fast.head)
        trace = jax.tree.map(lambda e, slope: decay * e + slope, fast.trace, slope)
        gradient = jax.tree.map(lambda g, e: g + surprise * e, fast.gradient, trace)
        head = jax.tree.map(lambda weight, rate, g: weight + rate * g / spec.horizon, fast.head, rates, gradient)
        nothing = jax.tree.map(jnp.zeros_like, trace)
        ended = FastWeights(head=head, trace=nothing, gradient=nothing)
        following = where(lived.boundary, ended, FastWeights(head=fast.head, trace=trace, gradient=gradient))
        return where(lived.valid, following, fast), numbers

    return scan(step, fast, lived)
