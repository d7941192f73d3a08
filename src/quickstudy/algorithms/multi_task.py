"""The sceptic's agents: PPO from scratch, and one policy for all tasks that is fine-tuned on each (Schulman et al. 2017).

Memory is the policy and its optimiser's state. After every `rollouts` episodes the agent improves both on what it has just
lived, by the clipped surrogate, in several passes over shuffled steps:

    max E[ min(ρ A, clip(ρ, 1 ± ε) A) ] + entropy        ρ = π(a) / β(a)

Two ways to begin a lifetime:

    ppo_agent      a fresh policy, drawn at random: learning from scratch, what everybody does without meta-learning
    multi_task     a policy that was trained before, by the same rule, on all tasks of `train` at once, one for all. With
                   `fine_tunes` it goes on learning within the lifetime: the strongest cheap rival of meta-learning. Without,
                   it is what a policy without any memory can do.

`multi_task` on tasks whose observations tell the task (`told`) is the privileged policy, which nothing that has to find the
task out should beat.

The defaults are those of a grid that learn fastest on training tasks of four distributions (`benchmarks/tune_ppo.py`).

Changed from the paper: advantages are measured against a value that is linear in simple features of observation and time,
fitted anew to each batch (Duan et al. 2016), rather than against a second network; within a few episodes it is right sooner.
"""

import dataclasses

import jax
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.ppo import Learner, PPOConfig, advantages_of, first_learner, fresh_policy, improved, improving_agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm
from quickstudy.protocol.records import Spec, Transition


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiTaskConfig:
    """Settings of a policy for all tasks, and of its fine-tuning within a lifetime."""

    ppo: PPOConfig = PPOConfig()

    fine_tunes: bool = True
    """Go on learning within a lifetime; without, all episodes of a lifetime are lived, and learned from, with one policy."""
    lifetimes: int = 64
    """Lifetimes, each on a task of its own, per update."""
    meta_learning_rate: float = 1e-3
    """Adam's step size in meta-training at the start; it falls linearly to a twentieth."""

    def __post_init__(self) -> None:
        for name in ("lifetimes", "meta_learning_rate"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")


def multi_task(spec: Spec, config: MultiTaskConfig = MultiTaskConfig()) -> MetaAlgorithm:
    """One policy for all tasks of this spec, and its fine-tuning.

    With `fine_tunes`, training uses of each lifetime only what was lived before the first fine-tuning, so lifetimes of
    `rollouts` episodes are enough to train on. The agent may then live longer ones.

    Args:
      spec: Discrete or Box observations, Discrete or bounded Box actions.
      config: its settings.
    Raises:
      SpecError: `rollouts` or `minibatches` do not divide what they should.
    """
    init = lambda key: fresh_policy(spec, config.ppo, key)  # noqa: E731
    agent = improving_agent(spec, config.ppo, init=init, first=lambda params, key: params, improves=config.fine_tunes)
    used = agent.cadence if config.fine_tunes else spec.lifetime_steps

    def update(state: Learner, lifetimes: Transition, progress: Array, key: PRNGKeyArray) -> tuple[Learner, dict[str, Array]]:
        lived = jax.tree.map(lambda leaf: leaf[:used], lifetimes)
        # Values are fitted task by task: what a state is worth depends on the task, which the policy cannot see.
        advantage = jax.vmap(lambda one: advantages_of(one, spec, config.ppo), 1, 1)(lived)
        steps, advantage = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (lived, advantage))
        rate = config.meta_learning_rate * (1 - 0.95 * progress)
        average = lambda tree: jax.lax.pmean(tree, LIFETIMES_AXIS)  # noqa: E731
        return improved(state, steps, advantage, key, spec=spec, config=config.ppo, rate=rate, average=average)

    return MetaAlgorithm(
        name="multi-task",
        config=config,
        agent=agent,
        init=lambda key: first_learner(init(key), config.ppo),
        update=update,
        params=lambda state: state.network,
        lifetimes=config.lifetimes,
    )
