"""The `predict` of Stable-Baselines, over sessions: programs that drive such agents drive ours, on a `LifetimeEnv`.

    actions, state = predictor.predict(observation, state=state, episode_start=starts)

An observation of a `LifetimeEnv` says what followed the last action. So `predict` first takes that in, and then decides.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.adapters.agents import agent_and_params
from quickstudy.adapters.lifetime_env import NOT_ENDED, TERMINATED, TRUNCATED
from quickstudy.protocol.action_spaces import user_action, user_actions
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.casting import Elements, described
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.given_actions import GivenActions, taken_instead
from quickstudy.protocol.records import Outcome
from quickstudy.protocol.sequences import where
from quickstudy.protocol.spaces import COMPOSITE
from quickstudy.rollout import session as sessions
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.session import Session
from quickstudy.storage.bundle import Bundle

_PARTS = ("observation", "reward", "ended", "successor")


class PredictorState(NamedTuple):
    """The sessions of all environments, leaves `[environments, ...]`, and how many lifetimes each has begun."""

    sessions: Session
    lifetimes: np.ndarray


class Predictor:
    """An agent behind `predict(observation, state, episode_start, deterministic)`.

    Args:
      source: a bundle, or an agent.
      params: of an agent; not to be given with a bundle.
      seed: of all randomness. Lifetime i of environment e has a key of its own.
      seed_of_training: which of the agents of a bundle.
    Example:
      >>> import jax, quickstudy as qs
      >>> from quickstudy.adapters import LifetimeEnv
      >>> bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=3)
      >>> agent = bandits.baselines["greedy"]()
      >>> predictor = Predictor(agent, agent.init(jax.random.key(0)))
      >>> env = LifetimeEnv(bandits)
      >>> action, state = predictor.predict(env.reset(seed=0)[0])
      >>> action, state = predictor.predict(env.step(action)[0], state)
    """

    def __init__(self, source: Bundle | Agent, params: PyTree | None = None, *, seed: int = 0, seed_of_training: int = 0):
        agent, self._params = agent_and_params(source, params, seed_of_training=seed_of_training)
        self.spec = agent.spec
        guarded = with_nonfinite_guard(agent)
        self._root, self._elements = jax.random.key(seed), Elements(self.spec.observation_space)
        self._given = GivenActions(self.spec.action_space)
        self._begin = jax.jit(jax.vmap(functools.partial(sessions.begin, guarded), (None, 0)))
        self._advance = jax.jit(jax.vmap(functools.partial(_advance, guarded), (None, 0, 0, 0)))
        self._mode = jax.jit(jax.vmap(lambda session: session.decision.extras["policy"].mode()))

    def predict(
        self,
        observation: Mapping[str, Any],
        state: PredictorState | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Any, PredictorState]:
        """Actions for one environment, or for several at once, and the state for the next call.

        Args:
          observation: of a `LifetimeEnv`; of several environments, each part with a leading axis `[environments]`.
          state: that the last call gave; None at the start.
          episode_start: `[environments]`, where a new lifetime begins, as Stable-Baselines has it. Memory is empty there.
          deterministic: give the likeliest action in place of a drawn one, where the agent gives its policy. Memory then still
            holds the action that was drawn, unless the observation names another one.
          key: the agent's share of the randomness of one lifetime, `jax.random.split(key)[0]` in `run_lifetime`; for one
            environment at its start.
        Raises:
          UsageError: another number of environments than before, parts that are missing, or a new lifetime whose observation is
            the end of an episode.
          SpecError: something that is no element of the observation space or the action space, or no reward.
        """
        told, batched = self._told(observation)
        count = len(told["reward"])
        starts = _flags(episode_start, count)
        _check_first(told["ended"], np.ones(count, bool) if state is None else starts)
        if state is None:
            state = PredictorState(self._begin(self._params, self._keys(np.zeros(count, int), key)), np.zeros(count, int))
        elif not isinstance(state, PredictorState):
            raise UsageError(f"a state must be that of the last call, or None at the start; came {state!r:.80}.")
        elif len(state.lifetimes) != count:
            raise UsageError(f"the state is of {len(state.lifetimes)} environments and the observation of {count}.")
        elif starts.any():
            lifetimes = state.lifetimes + starts
            fresh = self._begin(self._params, self._keys(lifetimes, key))
            state = PredictorState(jax.vmap(where)(jnp.asarray(starts), fresh, state.sessions), lifetimes)
        following = self._advance(self._params, state.sessions, told, told["action"])
        gives_mode = deterministic and callable(getattr(following.decision.extras.get("policy"), "mode", None))
        action = jax.device_get(self._mode(following) if gives_mode else following.decision.action)
        return self._actions(action, batched), PredictorState(following, state.lifetimes)

    def _keys(self, lifetimes: np.ndarray, key: PRNGKeyArray | None) -> Array:
        if key is not None:
            return jnp.stack([key] * len(lifetimes))
        numbers = lifetimes * len(lifetimes) + np.arange(len(lifetimes))
        return jax.vmap(jax.random.fold_in, (None, 0))(self._root, jnp.asarray(numbers, jnp.uint32))

    def _told(self, observation: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The parts of the observation with an axis of environments, and whether they came with one."""
        missing = [name for name in (*_PARTS, "action") if not isinstance(observation, Mapping) or name not in observation]
        if missing:
            raise UsageError(f"an observation must be that of a LifetimeEnv; it lacks {', '.join(missing)}.")
        batched = np.ndim(observation["ended"]) == 1
        lead = (lambda part: np.asarray(part)) if batched else (lambda part: np.asarray(part)[None])
        ended = lead(observation["ended"])
        told: dict[str, Any] = {
            "reward": _rewards(lead(observation["reward"]), len(ended)),
            "ended": ended.astype(np.int32),
            "action": None if isinstance(self.spec.action_space, COMPOSITE) else self._taken(lead(observation["action"])),
        }
        for name in ("observation", "successor"):
            told[name] = self._elements.cast_each(lead(observation[name]), len(ended))
        if ((told["ended"] < NOT_ENDED) | (told["ended"] > TRUNCATED)).any():
            raise SpecError(f"`ended` must be 0, 1 or 2; came {told['ended'].tolist()!s:.80}.")
        return told, batched

    def _taken(self, actions: np.ndarray) -> np.ndarray:
        """The last action of each environment, as an agent itself decides."""
        return np.stack([self._given.cast(action) for action in actions])

    def _actions(self, action: PyTree, batched: bool) -> Any:
        space = self.spec.action_space
        if not batched:
            return user_action(jax.tree.map(lambda leaf: leaf[0], action), space)
        each = user_actions(action, space)
        return each if isinstance(space, COMPOSITE) else np.asarray(each, space.dtype)


def _flags(episode_start: Any, count: int) -> np.ndarray:
    """Where a new lifetime begins, `[environments]`."""
    flags = np.asarray(False if episode_start is None else episode_start)
    if flags.shape not in ((), (1,), (count,)) or flags.dtype.kind not in "biuf":
        raise UsageError(
            f"episode_start must be {count} truth values, one for each environment; came {described(episode_start)}."
        )
    return np.broadcast_to(flags.astype(bool), (count,))


def _check_first(ended: np.ndarray, starts: np.ndarray) -> None:
    """Refuses the end of an episode as the first observation of a lifetime: what it tells would be lost, or told twice."""
    wrong = np.flatnonzero(starts & (ended != NOT_ENDED))
    if wrong.size:
        raise UsageError(
            f"a new lifetime begins in environment {wrong[0]}, but its observation is no first one: `ended` is "
            f"{ended[wrong[0]]}. Give the observation of reset(), and within a lifetime the state of the last call. "
            "Make vector environments of Gymnasium with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP."
        )


def _rewards(rewards: np.ndarray, count: int) -> np.ndarray:
    """One reward for each environment, `[environments]`."""
    if rewards.size != count or rewards.dtype.kind not in "biuf":
        raise SpecError(f"`reward` must be one number for each of {count} environments; came {described(rewards)}.")
    return rewards.astype(np.float32).reshape(count)


def _advance(agent: Agent, params: PyTree, session: Session, told: dict[str, Array], action: Array | None) -> Session:
    """One session: takes in what followed its last decision, if there was one, and decides."""
    if action is not None:
        decision = taken_instead(session.decision, action.astype(session.decision.action.dtype))
        session = dataclasses.replace(session, decision=where(session.awaits_outcome, decision, session.decision))
    outcome = Outcome(
        observation=told["successor"],
        reward=told["reward"],
        terminated=told["ended"] == TERMINATED,
        truncated=told["ended"] == TRUNCATED,
    )
    session = sessions.observe(agent, params, session, outcome, adapts=True if agent.cadence == 1 else None)
    return sessions.decide(agent, params, session, told["observation"])
