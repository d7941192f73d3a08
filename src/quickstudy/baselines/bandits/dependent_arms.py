"""The Bayes optimum of two arms that pay with probabilities p and 1 - p: both arms are equally informative about p.

A success of the first arm and a failure of the second are the same evidence, and so are the two others. With a successes of
the first or failures of the second, b of the rest, the likelihood is p^a (1 - p)^b, whichever arms were pulled. So all pulls
are equally informative, exploring has no value, and the best policy is the greedy one: under any prior that is symmetric about
1/2, the first arm if a >= b, else the second. Its expected return is a sum, not a dynamic program:

    V = sum over n = 0, ..., pulls - 1 of  E_p [ max(p, 1 - p) - |2 p - 1| P(wrong after n) ]
    P(wrong after n) = P(Binomial(n, max(p, 1 - p)) < n / 2) + P(... = n / 2) / 2
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits.arm_counts import ArmCounts, arms_of, certain, counting_agent
from quickstudy.numerics.beliefs.belief import DirichletBelief
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

_NODES = 256


def dependent_arms_agent(spec: Spec) -> Agent:
    """The agent that pulls the arm which the evidence of both arms together favours; the first one in a tie.

    Args:
      spec: of the tasks; two Discrete actions, rewards of 0 or 1.
    Raises:
      SpecError: actions that are not Discrete, or another number of arms than 2.
    """
    if int(arms_of(spec).n) != 2:
        raise SpecError(f"dependent arms are two, p and 1 - p; came {int(arms_of(spec).n)} actions.")

    def choose(params: Any, counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
        del params, key
        for_first = counts.successes[0] + counts.failures[1]
        for_second = counts.failures[0] + counts.successes[1]
        return certain((for_second > for_first).astype(jnp.int32))

    return counting_agent(spec, choose, belief=_belief)


def _belief(counts: ArmCounts) -> DirichletBelief:
    """`[2]`: belief about the probabilities p and 1 - p of the two arms, with a uniform prior of p."""
    return DirichletBelief.from_counts(counts.successes + counts.failures[::-1])


def exact_regret_of_dependent_arms(pulls: int, *, better: float | None) -> float:
    """Expected regret of one lifetime, in successes, of the Bayes-optimal agent.

    Args:
      pulls: in one lifetime, at least 1.
      better: the probability of the better arm, in [1/2, 1]; the agent knows it, but not which arm has it. None draws p from
        U[0, 1].
    Example:
      >>> round(exact_regret_of_dependent_arms(1, better=0.9), 3)
      0.4
    """
    if better is not None:
        return float(_regret(np.array([better]), pulls)[0])
    # The regret is a polynomial of degree `pulls` in p; the quadrature is exact up to degree 2 * nodes - 1.
    nodes, weights = np.polynomial.legendre.leggauss(max(_NODES, pulls))
    return float(weights @ _regret(0.75 + 0.25 * nodes, pulls) / 2.0)


def _regret(better: np.ndarray, pulls: int) -> np.ndarray:
    """Expected regret where the better arm pays with these probabilities `[n]`."""
    # [n, a]: the probability that a pieces of evidence speak for the better arm.
    evidence, wrong = np.ones((better.size, 1)), np.zeros(better.size)
    for made in range(pulls):
        speaks = 2 * np.arange(made + 1) - made
        wrong += evidence @ ((speaks < 0) + 0.5 * (speaks == 0))
        grown = np.zeros((better.size, made + 2))
        grown[:, 1:] = evidence * better[:, None]
        grown[:, :-1] += evidence * (1.0 - better[:, None])
        evidence = grown
    return (2.0 * better - 1.0) * wrong
