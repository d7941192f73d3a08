"""Bandits with a revealing arm: it pays least, and its payout tells which arm pays most; n pulls in one lifetime.

The setting of Wang et al. 2016 (Learning to reinforcement learn, section 3.1.3). An agent that has not learned to read the
payout loses by pulling this arm. So meta-training can settle on a search among the other arms.

- Drawn once per lifetime: the target, one of k plain arms, all equally likely.
- Action: the arm to pull; 0 to k - 1 are the plain arms, k is the revealing arm.
- Reward: 5 for the target, 1.1 for any other plain arm. The revealing arm pays i / k, where the target is the i-th arm of k.
  Nothing is random within a lifetime. Every pull is an episode of one step.
- Observation: always 0. With `hint` "observation", the observation after a pull of the revealing arm also shows the target, as
  i. Then a network reads the hint easily. What is left to learn is that the hint is worth its price.

Splits are disjoint by construction: every task has a number that `mark_split` marks. The number changes nothing else, and all
splits have the same k targets. So `test` shows how well an agent learns within a lifetime, and nothing about generalisation.

- `train`, `test`: as above.
- `ood:wrong-hint`: the revealing arm names the arm after the target, and the first arm after the last.

Floor and ceiling are exact: n times the mean payout of all arms, and n times 5.

Expected returns with the default settings, 10 plain arms and 5 pulls; all are exact:

    policy                                                            return
    Bayes optimum: the revealing arm, then the target                 20.55
    the best search without the revealing arm                         11.35
    the revealing arm, then the best search that ignores its payout    8.85
    random arms                                                        7.02

Command: `pytest tests/tasks/bandits/test_revealing.py`.
"""

from functools import partial
from typing import Literal, get_args

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.bandits.target_search import plain_search_agent, revealing_search_agent
from quickstudy.baselines.models.revealing_arm import OTHERS_PAY, TARGET_PAYS
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import SpecError, UnknownNameError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

Hint = Literal["payout", "observation"]
SPLITS = ("train", "test", "ood:wrong-hint")


@record
class RevealingArmTask:
    """`target` `[]`: the arm that pays most; `named` `[]`: the arm that the revealing arm names.

    `number` `[]` in [0, 1) tells tasks apart.
    """

    target: Int[Array, ""]
    named: Int[Array, ""]
    number: Float[Array, ""]


def revealing_arm(*, arms: int = 10, pulls: int = 5, hint: Hint = "payout") -> TaskDistribution:
    """Arms of which one pays most, beside an arm that pays least and reveals which.

    Args:
      arms: number of plain arms, at least 2; the revealing arm is one more.
      pulls: number of pulls in one lifetime, at least 1; each is an episode of one step.
      hint: what reveals the target: the payout alone, or the observation too.
    Raises:
      SpecError: fewer than 2 arms or fewer than 1 pull.
      UnknownNameError: no such hint.
    Example:
      >>> revealing_arm().spec.action_space.n
      np.int64(11)
    Source: Wang et al. 2016, section 3.1.3. Changed: the revealing arm pays i / arms, which is their 0.1 i for 10 arms.
    """
    if arms < 2:
        raise SpecError(f"arms must be 2 or more; came {arms}.")
    if pulls < 1:
        raise SpecError(f"pulls must be 1 or more; came {pulls}.")
    if hint not in get_args(Hint):
        raise UnknownNameError("hint", hint, get_args(Hint))
    shows = hint == "observation"
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(arms + 1 if shows else 1),
        action_space=gymnasium.spaces.Discrete(arms + 1),
        horizon=1,
        episodes=pulls,
    )

    def sample(split: str, key: PRNGKeyArray) -> RevealingArmTask:
        key_target, key_number = jax.random.split(key)
        target = jax.random.randint(key_target, (), 0, arms)
        number = mark_split(jax.random.uniform(key_number), split, SPLITS)
        named = (target + 1) % arms if split == "ood:wrong-hint" else target
        return RevealingArmTask(target=target, named=named, number=number)

    def reset(task: RevealingArmTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def payout_of_hint(task: RevealingArmTask) -> Array:
        return (task.named + 1).astype(jnp.float32) / arms

    def step(task: RevealingArmTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        del key
        plain = jnp.where(action == task.target, TARGET_PAYS, OTHERS_PAY)
        no, reveals = jnp.asarray(False), action == arms
        reward = jnp.where(reveals, payout_of_hint(task), plain).astype(jnp.float32)
        observation = jnp.where(reveals & shows, task.named + 1, 0)
        return state, Outcome(observation=observation, reward=reward, terminated=no, truncated=no)

    def floor(task: RevealingArmTask) -> Array:
        return pulls * (TARGET_PAYS + (arms - 1) * OTHERS_PAY + payout_of_hint(task)) / (arms + 1)

    return TaskDistribution(
        name="revealing-arm",
        config={"arms": arms, "pulls": pulls, "hint": hint},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"target": task.target, "arm that is named": task.named},
        floor=floor,
        ceiling=lambda task: jnp.full_like(task.number, pulls * TARGET_PAYS),
        baselines={
            "random": partial(random_agent, spec),
            "search without revealing": partial(plain_search_agent, spec),
            "Bayes optimum (exact)": partial(revealing_search_agent, spec),
        },
    )
