"""One policy for all tasks, fine-tuned on each: the strongest cheap alternative to meta-learning.

The policy is trained on all tasks of `train` at once by PPO (Schulman et al. 2017). Within a lifetime there are two ways:

    fine_tunes = True     after every `rollouts` episodes the policy and its optimiser improve by PPO on these episodes
    fine_tunes = False    the policy stays as it is: the best that a policy without memory can do

`baselines/ppo.py` has the improvement step, and the agent that begins with a fresh policy instead. On tasks whose observations
show the task (`privileged-*`) this is the privileged policy. No agent that has to infer the task should beat it.

Memory is the policy and its optimiser's state.
"""

import dataclasses

import jax
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.ppo import Learner, PPOConfig, advantages_of, first_learner, fresh_policy, improved, improving_agent
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.settings import check_above_zero


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiTaskConfig:
    """Settings of a policy for all tasks, and of its fine-tuning within a lifetime."""

    ppo: PPOConfig = PPOConfig()

    fine_tunes: bool = True
    """Go on learning within a lifetime. Otherwise one policy acts in, and is trained on, all episodes of a lifetime."""
    lifetimes: int = 64
    """Lifetimes, each on a task of its own, per update."""
    meta_learning_rate: float = 1e-3
    """Adam's step size in meta-training at the start; it falls linearly to a twentieth."""

    def __post_init__(self) -> None:
        check_above_zero(self, "lifetimes", "meta_learning_rate")


def multi_task(spec: Spec, config: MultiTaskConfig = MultiTaskConfig()) -> MetaAlgorithm:
    """One policy for all tasks of this spec, and its fine-tuning.

    With `fine_tunes`, training uses only the episodes before the first fine-tuning of each lifetime. So lifetimes of `rollouts`
    episodes are long enough to train on; evaluation may use longer ones.

    Args:
      spec: Discrete or Box observations, any actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` does not divide the episodes of a lifetime, or `minibatches` the steps of the rollouts.
    """
    init = lambda key: fresh_policy(spec, config.ppo, key)  # noqa: E731
    agent = improving_agent(spec, config.ppo, init=init, first=lambda params, key: params, improves=config.fine_tunes)
    used = agent.cadence if config.fine_tunes else spec.lifetime_steps

    def update(
        state: Learner,
        lifetimes: Transition,
        progress: Array,
        key: PRNGKeyArray,
        learning_rate: float | Array = config.meta_learning_rate,
    ) -> tuple[Learner, dict[str, Array]]:
        experience = jax.tree.map(lambda leaf: leaf[:used], lifetimes)
        # Values are fitted task by task: the value of a state depends on the task, which the policy cannot see.
        advantage = jax.vmap(lambda one: advantages_of(one, spec, config.ppo), 1, 1)(experience)
        steps, advantage = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (experience, advantage))
        rate = learning_rate * (1 - 0.95 * progress)
        average = lambda tree: jax.lax.pmean(tree, LIFETIMES_AXIS)  # noqa: E731
        better, metrics = improved(state, steps, advantage, key, spec=spec, config=config.ppo, rate=rate, average=average)
        network = better.network.after_seeing(experience, spec, axis=LIFETIMES_AXIS)
        return dataclasses.replace(better, network=network), metrics

    return MetaAlgorithm(
        name="multi-task",
        config=config,
        agent=agent,
        init=lambda key: first_learner(init(key), config.ppo),
        update=update,
        params=lambda state: state.network,
        lifetimes=config.lifetimes,
    ).with_learning_rate(config.meta_learning_rate)
