"""RL²: a recurrent network whose hidden state learns the task at hand (Duan et al. 2016; Wang et al. 2016).

The agent's memory is the hidden state of a recurrent core. After each step the core takes in the whole transition

    h_{t+1} = core(h_t, [observation_t, action_t, reward_t, successor_t, boundary_t])        h_0 = 0

and the head decides from memory and the present observation: π(a | h_t, observation_t). Nothing resets h within a lifetime,
so what the agent has learned in one episode is there in the next. Meta-training maximises the return of the lifetime,
discounted across the ends of episodes, by a clipped surrogate (Schulman et al. 2017) with generalised advantages (Schulman et
al. 2016); gradients flow through the whole lifetime.

Changed from the papers:

- The transition enters the core at once, with its true successor, rather than in halves at two steps. At every decision the
  agent has read all that RL² reads, and the last observation of an episode as well; each decision costs one core step,
  in training, in a loop and in service.
- Clipped surrogate rather than TRPO.
- Where actions are continuous, core and heads read the last reward around its mean and its change
  (`networks/reward_change.py`).
- With a `teacher`, the policy first imitates the teacher's actions in lifetimes that the policy itself has generated
  (Ross et al. 2011). Reinforcement takes over as the weight of imitation falls.
- Rewards and values are scaled by their running size, Box observations by their running mean and deviation, so that
  tasks in any unit train alike. The statistics are part of the parameters and do not change within a lifetime.

Cores other than recurrent ones are in docs/memory.md. Where observations and actions are Discrete, the default is a table that
is addressed by the observation.

Expected result: `quickstudy demo` trains for a minute and a half on two cores, so its length depends on the machine. Two runs
gave returns of 78.87 [78.36, 79.37] and 78.81 [78.30, 79.29] on 4,000 held-out bandits of five arms and 100 pulls. On the same
bandits the Gittins index gave 79.03 and Thompson sampling 75.41. The first run is not significantly different from the Gittins
index. The second one is worse by 0.22 [0.02, 0.41]. docs/results.md has the results of longer training and of other tasks.
"""

import dataclasses

import jax
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

from quickstudy.algorithms.drawing import drawn, drawn_along
from quickstudy.algorithms.lifetime_ppo import LifetimePPOConfig, Params, lifetime_ppo
from quickstudy.networks.action_scores import chosen_core, network_for
from quickstudy.networks.memory_network import MemoryNetworkConfig, first_statistics
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.protocol.records import Decision, Spec, Transition


@dataclasses.dataclass(frozen=True, kw_only=True)
class RL2Config:
    """Settings of RL²."""

    network: MemoryNetworkConfig = MemoryNetworkConfig()
    ppo: LifetimePPOConfig = LifetimePPOConfig()


def rl2(spec: Spec, config: RL2Config = RL2Config()) -> MetaAlgorithm:
    """RL² for tasks of this spec.

    Args:
      spec: any observations, any actions.
      config: its settings.
    """
    # The core is part of the record, so that a stored agent does not change with a later default.
    config = dataclasses.replace(config, network=chosen_core(spec, config.network))
    return lifetime_ppo("rl2", spec, config, rl2_agent(spec, config.network), ppo=config.ppo)


def rl2_agent(spec: Spec, config: MemoryNetworkConfig) -> Agent:
    """The agent alone: memory is the state of the core."""

    def init(key: PRNGKeyArray) -> Params:
        return Params(network=network_for(spec, config, key=key), statistics=first_statistics(spec, config))

    exchangeable = jax.eval_shape(init, jax.random.key(0)).network.core.exchangeable

    def begin(params: Params, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.core.initial(spec)

    def act(params: Params, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        network, statistics = params.network, params.statistics
        seen = network.encoder(statistics, observation, spec)
        return drawn(network.decide(statistics, network.core.read(memory, seen), seen, spec), key)

    def adapt(params: Params, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del key
        return params.network.take_in(params.statistics, memory, experience, spec)

    def unroll(params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[PyTree, Decision]:
        memory, read, seen = params.network.run(params.statistics, lifetimes, spec)
        return memory, drawn_along(params.network.decide(params.statistics, read, seen, spec), key, spec)

    agent = Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, exchangeable=exchangeable)
    return agent.with_fast_unroll(unroll)
