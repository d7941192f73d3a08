"""The Bayes-optimal bandit agent: its expected return is the highest possible, and it is known without simulation.

Dynamic programming reaches any number of arms for up to `many_arms_plan.MOST_PULLS` pulls, and two arms for up to
`two_arms_plan.MOST_PULLS`.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits import many_arms_plan as many
from quickstudy.baselines.bandits import two_arms_plan as two
from quickstudy.baselines.bandits.arm_counts import ArmCounts, arms_of, certain, counting_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def exact_reaches(*, arms: int, pulls: int) -> bool:
    """Whether dynamic programming can compute the optimum of independent uniform Bernoulli arms."""
    return pulls <= many.MOST_PULLS or (arms == 2 and pulls <= two.MOST_PULLS)


def exact_value(*, arms: int, pulls: int) -> float:
    """Expected return of one lifetime, in successes, of the Bayes-optimal agent.

    Success probabilities are independent U[0, 1]; the expectation is over tasks and rewards.

    Args:
      arms: at least 2.
      pulls: in one lifetime, at least 1.
    Raises:
      SpecError: beyond the reach of dynamic programming.
    Example:
      >>> round(exact_value(arms=5, pulls=10), 3)
      6.66
    """
    _check_reach(arms=arms, pulls=pulls)
    if pulls <= many.MOST_PULLS:
        return many.plan_of_many_arms(min(arms, pulls), pulls).value
    return two.plan_of_two_arms(pulls).value


def bayes_optimal_agent(spec: Spec) -> Agent:
    """An agent that maximises the expected return of the whole lifetime under independent uniform arms.

        V(belief) = max_i  p_i (1 + V(belief, success of i)) + (1 - p_i) V(belief, failure of i)

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1, and arms and steps that `exact_reaches`.
    Raises:
      SpecError: actions that are not Discrete, or beyond the reach of dynamic programming.
    Source: Bellman 1956, A problem in the sequential design of experiments. Changed: beliefs are multisets for many arms.
    """
    arms, pulls = int(arms_of(spec).n), spec.lifetime_steps
    _check_reach(arms=arms, pulls=pulls)
    if pulls <= many.MOST_PULLS:
        return counting_agent(spec, _choose_among_many, init=lambda key: _table_of_many(arms, pulls))
    return counting_agent(spec, _choose_of_two, init=lambda key: jnp.asarray(two.plan_of_two_arms(pulls).arm))


def _check_reach(*, arms: int, pulls: int) -> None:
    if not exact_reaches(arms=arms, pulls=pulls):
        raise SpecError(
            f"the exact optimum is within reach for up to {many.MOST_PULLS} pulls with any number of arms and for up to "
            f"{two.MOST_PULLS} pulls with 2 arms; came {arms} arms and {pulls} pulls. "
            "The Gittins index comes close to it and reaches further."
        )


def _table_of_many(arms: int, pulls: int) -> dict[str, Array]:
    plan = many.plan_of_many_arms(min(arms, pulls), pulls)
    return {name: jnp.asarray(array) for name, array in plan._asdict().items() if name != "value"}


def _choose_among_many(params: dict[str, Array], counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
    """The first arm whose record is the one that the plan names for this belief."""
    del key
    weights = params["weights"][counts.successes, counts.failures]
    row = jnp.searchsorted(params["hashes"], weights.sum(dtype=jnp.uint32))
    named = (counts.successes == params["successes"][row].astype(jnp.int32)) & (
        counts.failures == params["failures"][row].astype(jnp.int32)
    )
    return certain(jnp.argmax(named))


def _choose_of_two(params: Any, counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
    """The arm that the plan names for this belief."""
    del key
    (a1, a2), (b1, b2) = counts.successes, counts.failures
    return certain(params[two.belief_number(a1, b1, a2, b2)])
