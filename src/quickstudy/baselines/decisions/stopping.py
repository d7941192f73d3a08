"""Rules that stop an A/B test: fixed size, peeking, and the group-sequential tests of Pocock and of O'Brien and Fleming.

Each look compares every treatment with the control by z = difference / standard error under equal rates. The test ends

- with the treatment of the largest z, where that is above the boundary of the look;
- with the control, where every z is below minus the boundary.

Several treatments share the level equally (Bonferroni). A rule that has not decided at the last look goes on; the task then
ships the arm that looks best, or keeps the control in `inference`.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.ab_test import Experiment, actions_of, arms_of_test, experiment_of, standardised
from quickstudy.numerics.group_sequential import boundary_constant
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec

LEVEL = 0.05

Rule = Callable[[Experiment, PRNGKeyArray], Float[Array, " actions"]]
"""`(experiment, key) -> scores [actions]`; the allowed action with the highest score is taken."""


def rule_agent(spec: Spec, rule: Rule, *, valid_by_itself: bool = False) -> Agent:
    """An agent that decides from the counts of the present look alone.

    Args:
      spec: of the tasks.
      rule: scores of actions.
      valid_by_itself: the rule bounds false ships by its own argument, so no gate need agree with it.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    arms_of_test(spec)

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        scores = rule(experiment_of(observation, spec), key)
        return Decision(action=jnp.argmax(scores).astype(jnp.int32), extras={"scores": scores})

    agent = memoryless_agent(spec, choose)
    agent.act.held_to_allowed = valid_by_itself  # type: ignore[attr-defined]  # then the mask of the gate is not applied to it
    return agent


def scores_of(ships: Array, arm: Array, *, arms: int, otherwise: Array | int = 0) -> Float[Array, " actions"]:
    """Scores of a rule: ship an arm, or else an action that continues; where the gate forbids the arm, continue.

    Args:
      ships: `[]`, whether to ship.
      arm: `[]`, which one.
      arms: of the test.
      otherwise: `[]`, the action that continues.
    """
    numbers = jnp.arange(actions_of(arms))
    shipped = jnp.where((numbers == arm + arms + 1) & ships, 3.0, 0.0)
    kept = jnp.where(numbers == arms + 1, 1.0, 0.0)
    return jnp.maximum(jnp.maximum(shipped, jnp.where(numbers == otherwise, 2.0, 0.0)), kept)


def beyond(experiment: Experiment, boundary: Array, *, both_sides: bool = True) -> tuple[Array, Array]:
    """Whether the differences of a test are beyond a boundary in standard errors, and the arm that this speaks for."""
    z = standardised(experiment)[1:]
    above, below = z.max() > boundary, (z < -boundary).all() & both_sides
    return above | below, jnp.where(above, 1 + jnp.argmax(z).astype(jnp.int32), 0)


def boundary_agent(
    spec: Spec, boundary: Float[np.ndarray, " looks"], *, both_sides: bool = True, valid_by_itself: bool = True
) -> Agent:
    """The agent of a boundary for each look.

    Args:
      spec: of the tasks.
      boundary: standard errors, by look.
      both_sides: the control may win; otherwise a test that does not reject goes on.
      valid_by_itself: as of `rule_agent`.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    arms, bounds = arms_of_test(spec), jnp.asarray(boundary, jnp.float32)

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        bound = bounds[experiment.look.astype(jnp.int32) - 1]
        return scores_of(*beyond(experiment, bound, both_sides=both_sides), arms=arms)

    return rule_agent(spec, rule, valid_by_itself=valid_by_itself)


def fixed_size_agent(spec: Spec, *, level: float = LEVEL, power: float = 0.8, smallest_lift: float | None = None) -> Agent:
    """A z-test of fixed size: nothing is decided before, and without a significant difference the control is kept.

        users of each arm = (z_{1-α/2} + z_power)² 2 p (1 - p) / (lift p (1 - p))²

    Args:
      spec: of the tasks.
      level: α, two-sided.
      power: at which the smallest lift is to be found, if there is one.
      smallest_lift: in log-odds, from which the size follows, with p from the looks so far; None tests after the last look.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    arms = arms_of_test(spec)
    bound = ndtri(1 - level / (2 * (arms - 1)))

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        ends = experiment.look >= spec.horizon
        if smallest_lift is not None:
            rate = (experiment.conversions.sum() + 0.5) / (experiment.users.sum() + 1)
            needed = 2 * (bound + ndtri(power)) ** 2 / (smallest_lift**2 * rate * (1 - rate))
            ends = ends | (experiment.users.min() >= needed)
        significant, arm = beyond(experiment, bound)
        return scores_of(ends, jnp.where(significant, arm, 0), arms=arms)

    return rule_agent(spec, rule, valid_by_itself=True)


def peeking_agent(spec: Spec, *, level: float = LEVEL) -> Agent:
    """Stops at the first look at which an ordinary z-test is significant. Its level does not hold over several looks."""
    bound = float(ndtri(1 - level / (2 * (arms_of_test(spec) - 1))))
    return boundary_agent(spec, np.full(spec.horizon, bound), valid_by_itself=False)


def pocock_agent(spec: Spec, *, level: float = LEVEL) -> Agent:
    """The same boundary at every look, so high that the level holds over all looks (Pocock 1977)."""
    constant = boundary_constant(spec.horizon, level / (arms_of_test(spec) - 1), 0.0)
    return boundary_agent(spec, np.full(spec.horizon, constant))


def obrien_fleming_agent(spec: Spec, *, level: float = LEVEL, both_sides: bool = True) -> Agent:
    """A boundary that falls with the square root of the looks (O'Brien and Fleming 1979).

    Args:
      spec: of the tasks.
      level: of false rejections over all looks; with one side, of those for a treatment.
      both_sides: the control may win early.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    looks, sides = spec.horizon, 1 if both_sides else 2
    constant = boundary_constant(looks, sides * level / (arms_of_test(spec) - 1), 0.5)
    return boundary_agent(spec, constant * (looks / np.arange(1.0, looks + 1)) ** 0.5, both_sides=both_sides)
