"""Small Markov decision processes whose optimum is known exactly: it is known what pays, and unknown what actions do.

Every action may lead to every state, with chances that are drawn once per task, Dirichlet(1, ..., 1) for each state and
action. A step that arrives in the last state pays 1, any other nothing. Episodes begin in state 0 and last `horizon` steps, and
the process stays the same for a lifetime of `episodes` episodes. An observation is the state, no more.

Since rewards are known and chances are conjugate to their prior, counts of what followed are all that there is to know, and for
short lifetimes dynamic programming over them (`baselines.adaptive_plan`) gives the best agent that there can be: what exploring
is worth in a process with states, without simulation.

Splits are disjoint by construction. The chances of one state and action are the gaps between sorted numbers in [0, 1], 0 and 1,
and `mark_split` stamps the split's number into the last bits of these; a chance moves by less than 2^-15.

- `train`, `test`: as above; gaps between sorted uniform numbers are Dirichlet(1, ..., 1).
- `ood:sparse-transitions`: successors are Dirichlet(0.1, ..., 0.1), so that few of them are likely.

Baselines: greedy planning, posterior sampling, and where `bayes_adaptive.adaptive_reaches` the exact Bayes-adaptive optimum.
All of them believe in the distribution of `train`, on every split.
"""

from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.bayes_adaptive import (
    adaptive_reaches,
    arrival_adaptive_agent,
    arrival_greedy_agent,
    arrival_sampling_agent,
)
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:sparse-transitions")


@record
class ArrivalMDP:
    """`thresholds` `[states, actions, states - 1]` in [0, 1), rising: chances of the successors, added up, but the last."""

    thresholds: Float[Array, "states actions thresholds"]

    @property
    def transition(self) -> Float[Array, "states actions states"]:
        """Probabilities of the successors."""
        edge = jnp.zeros_like(self.thresholds[..., :1])
        return jnp.diff(self.thresholds, axis=-1, prepend=edge, append=edge + 1.0)


def arrival_mdp(*, states: int = 2, actions: int = 2, horizon: int = 4, episodes: int = 4) -> TaskDistribution:
    """Markov decision processes with unknown Dirichlet transitions, where arriving in the last state pays.

    Args:
      states: how many states, at least 2; every episode begins in state 0.
      actions: how many actions, at least 2.
      horizon: steps in an episode; all episodes last as long.
      episodes: episodes in one lifetime.
    Raises:
      SpecError: fewer than 2 states or actions, or a length below 1.
    Example:
      >>> arrival_mdp(episodes=3).spec.lifetime_steps
      12
    Source: none. The prior is that of Duan et al. 2016, section 3.2, without its unknown rewards.
    """
    for name, value in (("states", states), ("actions", actions)):
        if value < 2:
            raise SpecError(f"{name} must be 2 or more; came {value}.")
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(states),
        action_space=gymnasium.spaces.Discrete(actions),
        horizon=horizon,
        episodes=episodes,
    )

    def sample(split: str, key: PRNGKeyArray) -> ArrivalMDP:
        if split == "ood:sparse-transitions":
            chances = jax.nn.softmax(jax.random.loggamma(key, 0.1, (states, actions, states)))
            thresholds = jnp.cumsum(chances, axis=-1)[..., :-1]
        else:
            thresholds = jnp.sort(jax.random.uniform(key, (states, actions, states - 1)), axis=-1)
        return ArrivalMDP(thresholds=mark_split(thresholds, split, SPLITS))

    def reset(task: ArrivalMDP, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def step(task: ArrivalMDP, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # One uniform number, whatever the action: agents that choose differently with one key meet the same luck.
        successor = (task.thresholds[state, action] <= jax.random.uniform(key)).sum(dtype=jnp.int32)
        reward = (successor == states - 1).astype(jnp.float32)
        no = jnp.asarray(False)
        return successor, Outcome(observation=successor, reward=reward, terminated=no, truncated=no)

    def lifetime_value(task: ArrivalMDP, summary: Callable[..., Array]) -> Array:
        backup = expected_backup(task.transition[..., -1], task.transition)
        return episodes * backward_induction(backup, states=states, horizon=horizon, summary=summary)[0][0]

    return TaskDistribution(
        name="arrival-mdp",
        config={"states": states, "actions": actions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"transition probability": task.transition},
        floor=lambda task: lifetime_value(task, jnp.mean),
        ceiling=lambda task: lifetime_value(task, jnp.max),
        baselines=_baselines(spec),
    )


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """The classical opponents, made when asked for; the optimum is there only where it is within reach."""
    baselines: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, spec),
        "greedy": partial(arrival_greedy_agent, spec),
        "posterior sampling": partial(arrival_sampling_agent, spec),
    }
    if adaptive_reaches(spec):
        baselines["Bayes optimum (exact)"] = partial(arrival_adaptive_agent, spec)
    return baselines
