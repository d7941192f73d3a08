"""Ask and tell: `ask` gives an action, and `tell` takes its reward. It is the loop of an optimiser, or of a script."""

from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.adapters.agents import agent_and_params
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.given_actions import GivenActions, check_allowed
from quickstudy.rollout.actor import Actor, checked_flag, checked_reward
from quickstudy.rollout.session import end_of_episode, next_slot
from quickstudy.storage.bundle import Bundle


class AskTell:
    """One task under way, as two calls.

    The observation after an action is often not known before the next question. So `tell` keeps the reward until
    the next `ask` brings the observation. Tasks with one observation only, such as bandits, need none at all.

    Args:
      source: a bundle, or an agent.
      params: of an agent; not to be given with a bundle.
      seed: of all its randomness.
      seed_of_training: which of the agents of a bundle.
      endless: go on beyond the lifetime that the agent was made for. Nothing was trained or measured there.
    Example:
      >>> import jax, quickstudy as qs
      >>> agent = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10).baselines["greedy"]()
      >>> loop = AskTell(agent, agent.init(jax.random.key(0)))
      >>> arm = loop.ask()
      >>> loop.tell(arm, 1.0)
      >>> loop.ask() == arm
      True
    """

    def __init__(
        self,
        source: Bundle | Agent,
        params: PyTree | None = None,
        *,
        seed: int = 0,
        seed_of_training: int = 0,
        endless: bool = False,
    ):
        """Compiles, so that no question waits for it."""
        agent, params = agent_and_params(source, params, seed_of_training=seed_of_training)
        self._actor, self._horizon = Actor(agent, params, seed=seed, endless=endless), agent.spec.horizon
        self._slot = 0
        self._seen: Any = None
        self._asked: Any = None
        self._told: dict[str, Any] | None = None

    def ask(self, observation: Any = None) -> Any:
        """The action to take now.

        Args:
          observation: an element of the observation space; not needed where there is one observation only.
        Raises:
          UsageError: the last action was not told of, the lifetime is over, or an observation is needed.
          SpecError: something that is no element of the observation space. Nothing is changed then.
        """
        if self._asked is not None:
            raise UsageError("ask() was called twice in a row. Say what the first action brought: tell(action, reward).")
        seen = self._observation(observation)
        self._take_in(seen)
        action = self._actor.act(seen)
        self._seen, self._asked = seen, action
        return action

    def tell(self, action: Any, reward: float, *, terminated: bool = False, truncated: bool = False) -> None:
        """Says what an action brought.

        Args:
          action: that was in fact taken. It may be another one than `ask` gave; the agent then learns from it.
          reward: in the units that the agent was trained with; NaN where it is not known.
          terminated: the task ended the episode.
          truncated: something else did. The horizon of the agent's spec ends it in any case.
        Raises:
          UsageError: nothing was asked.
          SpecError: an action that is no element of the action space or that the observation forbids, no reward, or no truth
            value. Nothing is changed then.
        """
        if self._asked is None:
            raise UsageError("tell() was called before ask(): there is no decision that this reward could follow.")
        flags = {"terminated": checked_flag("terminated", terminated), "truncated": checked_flag("truncated", truncated)}
        told: dict[str, Any] = {"reward": checked_reward(reward)} | flags
        spec = self._actor.agent.spec
        taken, asked = (GivenActions(spec.action_space).cast(one) for one in (action, self._asked))
        check_allowed(taken, np.asarray(self._seen), spec)
        if not all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (taken, asked)), strict=True)):
            told |= {"action": action}
        self._told, self._asked = told, None

    def begin(self) -> None:
        """Starts a new task. The last `tell` of the old task is dropped."""
        self._actor.begin()
        self._asked = self._told = None
        self._slot = 0

    def _take_in(self, following: Any) -> None:
        """Hands what was told to the agent, now that the observation after it is known."""
        if self._told is None:
            return
        flags = self._told["terminated"], self._told["truncated"]
        ends = any(map(bool, end_of_episode(self._slot, *flags, horizon=self._horizon)))
        # After the end of an episode, the next observation is that of a new one.
        self._actor.observe(observation=self._seen if ends else following, **self._told)
        self._slot, self._told = int(next_slot(self._slot, ends, horizon=self._horizon)), None

    def _observation(self, given: Any) -> Any:
        space = self._actor.agent.spec.observation_space
        if given is not None:
            return given
        if isinstance(space, gymnasium.spaces.Discrete) and int(space.n) == 1:
            return int(space.start)
        raise UsageError(f"this agent observes {space}; ask(observation) needs an element of it.")
