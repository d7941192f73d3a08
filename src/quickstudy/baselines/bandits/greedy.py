"""Greedy: always the arm with the highest estimated mean."""

from quickstudy.baselines.bandits.arm_counts import counting_agent_of_score
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def greedy_agent(spec: Spec) -> Agent:
    """An agent that pulls the arm of the highest estimated mean, and never explores deliberately.

        argmax_i (1 + successes_i) / (2 + pulls_i)

    Ties go to the first arm.

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1.
    Raises:
      SpecError: actions that are not Discrete.
    Source: Duan et al. 2016, table 1 ("Greedy"), counts from one success in two pulls. Changed: nothing.
    """
    return counting_agent_of_score(spec, lambda params, counts: counts.mean)
