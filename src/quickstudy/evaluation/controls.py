"""The controls of an evaluation: agents that show whether, and by what, an agent adapts. Every distribution gets them.

    random             acts uniformly at random
    without memory     the same agent, whose memory begins anew at every episode, or at every step (`without_memory.py`)
    shuffled rewards   the same agent, which adapts to the rewards of other lifetimes (`shuffled_rewards.py`)

Shuffled rewards are measured on tasks written in JAX alone. Elsewhere lifetimes cost too much, and `quickstudy speed` does it.
"""

import dataclasses
from collections.abc import Callable, Mapping

from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.adaptation_speed.shuffled_rewards import shuffled_contender
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.results import Control
from quickstudy.evaluation.without_memory import without_memory
from quickstudy.protocol.agent import memory_bytes
from quickstudy.protocol.host_distribution import AnyDistribution

RANDOM = "random"


class Controls:
    """The controls of some contenders; what does not depend on the split is made once, so that it is compiled once.

    Args:
      contenders: by the name that they are shown under. Only trained ones with a memory are ablated.
      distribution: that all are measured on.
      seed: of the tasks that shuffled rewards come from.
    """

    def __init__(self, contenders: Mapping[str, Contender], distribution: AnyDistribution, *, seed: int = 0):
        self._distribution, self._seed = distribution, seed
        self._agents = {name: one for name, one in contenders.items() if one.trained and memory_bytes(one.agent)}
        at_random = {RANDOM, *(name for name, make in distribution.baselines.items() if _makes_random(make))}
        self._fixed = {} if at_random & set(contenders) else {RANDOM: contender(random_agent(distribution.spec))}
        for name, one in self._agents.items():
            control = Control(agent=name, change="no memory")
            made = Contender(agent=without_memory(one.agent), params=one.params, trained=False, control=control)
            self._fixed[f"{name} without memory"] = made
        self._shuffled: dict[str, Contender] = {}

    def on(self, split: str) -> dict[str, Contender]:
        """The controls on a split, by the name that they are shown under.

        Raises:
          UnknownNameError: no such split.
        """
        return self._fixed | (self._with_shuffled_rewards(split) if self._distribution.runs_in == "jax" else {})

    def _with_shuffled_rewards(self, split: str) -> dict[str, Contender]:
        found = {}
        for name, one in self._agents.items():
            made = shuffled_contender(one, self._distribution, split=split, seed=self._seed)
            first = self._shuffled.setdefault(name, made)
            control = Control(agent=name, change="shuffled rewards")
            # The agent of the first split, which is compiled, with the rewards of this one.
            found[f"{name}, shuffled rewards"] = dataclasses.replace(made, agent=first.agent, trained=False, control=control)
        return found


def _makes_random(make: Callable) -> bool:
    """Whether a baseline is random actions under another name."""
    return getattr(make, "func", make) is random_agent
