"""An agent as it is served: its programs, its policy, and the part of its decisions that clients see."""

import hashlib
import json
import math
import struct
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, assembled, parts_of
from quickstudy.rollout.envelope.reasons import guard_words
from quickstudy.serving.elements import element_of, single
from quickstudy.serving.keys import lifetime_key
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.programs import AgentPrograms
from quickstudy.serving.record import Record
from quickstudy.serving.refusal import Refusal

_WORD, _REAL = struct.Struct("=i"), struct.Struct("=f")
GUARD_REASON, GUARD_FALLBACK = ".extras['guard']['reason']", ".extras['guard']['fallback']"
"""Where the report of an envelope lies in the words of a decision."""
_MOST_EXPONENT = 700.0
_MOST_SHOWN = 64
"""Numbers of a belief that an answer holds; larger beliefs are left out of answers."""


class ServedAgent:
    """One version of an agent, with the rules of its sessions.

    Args:
      agent: that decides.
      params: its parameters, without a leading axis of seeds.
      policy: of all its sessions.
      seed: of the randomness of all its sessions.
      digest: names agent and parameters, as `bundle_digest` does; made from the spec where it is not given.
      long_chunks: allow agents that adapt on more than one step at once. Their sessions hold up to `cadence` steps that
        were not learned from yet.
      envelope: digest and rules of the envelope that the agent was guarded with, as plain data, for the audit.
    Raises:
      UsageError: an agent with a cadence above 1, unless `long_chunks` is set.
    """

    def __init__(
        self,
        agent: Agent,
        params: PyTree,
        *,
        policy: SessionPolicy | None = None,
        seed: int = 0,
        digest: str | None = None,
        long_chunks: bool = False,
        envelope: dict[str, Any] | None = None,
    ):
        if agent.cadence > 1 and not long_chunks:
            raise UsageError(
                f"this agent adapts once in {agent.cadence} steps, so each session holds as many steps that it has not learned "
                "from yet. Serve it with long_chunks=True (--long-chunks) if that is what you want."
            )
        self.agent, self.policy, self.seed, self.envelope = agent, policy or SessionPolicy(), seed, envelope
        self.programs = AgentPrograms(agent, params)
        self.digest = digest or hashlib.sha256(json.dumps(agent.spec.describe(), sort_keys=True).encode()).hexdigest()
        space = agent.spec.observation_space
        self._whole: range | None = None
        if isinstance(space, gymnasium.spaces.Discrete):
            self._whole = range(int(space.start), int(space.start) + int(space.n))
        paths = [".action", ".extras['log_probability']", ".extras['value']"]
        self._places = {path: place for path in paths if (place := self.programs.decision.of_leaf(path)) is not None}
        self._whole_action = isinstance(agent.spec.action_space, gymnasium.spaces.Discrete)
        self._only = single(agent.spec.observation_space)
        layout = self.programs.decision
        self._guarded = GUARD_REASON in layout.paths
        self._beliefs = [path for path in layout.paths if path.startswith(".extras['belief']")]
        if sum(layout.numbers_at(path) for path in self._beliefs) > _MOST_SHOWN:
            self._beliefs = []

    @property
    def spec(self) -> Spec:
        """Of the agent."""
        return self.agent.spec

    def described(self) -> str:
        """What the audit needs to read the events of sessions, as JSON text: spaces, lengths and layouts of words."""
        layouts = {"observation": self.programs.observation.describe(), "decision": self.programs.decision.describe()}
        described = {"spec": self.spec.describe(), "layouts": layouts}
        return json.dumps(described | ({} if self.envelope is None else {"envelope": self.envelope}), sort_keys=True)

    def record(self) -> Record:
        """The record of a session before its first event."""
        return Record(self.spec, cadence=self.agent.cadence, policy=self.policy)

    def key(self, record: Record) -> np.ndarray:
        """Key data of the present lifetime of a session."""
        return lifetime_key(self.seed, record.stream, record.lifetime, words=self.programs.key_words)

    def observation(self, value: Any, *, field: str = "observation") -> bytes:
        """The words of an observation that a client sent.

        Raises:
          Refusal: it is not an element of the observation space.
        """
        space = self.spec.observation_space
        if self._whole is not None and type(value) is int and value in self._whole:
            return _WORD.pack(value)
        return self.programs.observation.pack_host(element_of(space, value, field=field)).tobytes()

    def successor(self, value: Any, *, ends: bool, slot: int, observation: bytes) -> bytes:
        """The words of the observation that followed a decision.

        Args:
          value: that a client sent; None where it sent none.
          ends: whether the reward says that the episode ends.
          slot: of the decision.
          observation: words of the observation that was acted on; they stand for a last observation that was not sent.
        Raises:
          Refusal: it is not an element of the observation space, or it is missing within an episode.
        """
        if value is not None:
            return self.observation(value)
        if self._only is not None or ends or slot % self.spec.horizon == self.spec.horizon - 1:
            return observation
        raise Refusal(
            "conflict",
            "a reward within an episode needs the observation that followed.",
            field="observation",
            hint='Send it as "observation" with the reward, or "terminated" or "truncated" where the episode is over.',
        )

    def checked_reward(self, value: Any) -> float:
        """A reward that a client sent, as a number that the agent can read.

        Raises:
          Refusal: not a finite number of 32 bits.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal(
                "invalid", "reward is not a number.", field="reward", expected="a finite number", got=repr(value)[:80]
            )
        with np.errstate(over="ignore"):
            finite = math.isfinite(value) and bool(np.isfinite(np.float32(value)))
        if not finite:
            raise Refusal(
                "invalid",
                "reward is not finite; nothing was learned from it.",
                field="reward",
                expected="a finite number of 32 bits",
                got=repr(value)[:80],
            )
        return float(value)

    def shown(self, decision: bytes) -> dict[str, Any]:
        """What an answer says of a decision: action, propensity, value, belief.

        `propensity` is the probability of the action, or its density for continuous actions; None if the agent does not give
        it. `belief` is left out where it is large. `guard` says what acted and why, if the agent has an envelope.
        """
        log_probability, value = (
            self._number(decision, ".extras['log_probability']"),
            self._number(decision, ".extras['value']"),
        )
        if self._whole_action:
            action = _WORD.unpack_from(decision, 4 * self._places[".action"].start)[0]
        else:
            action = self._action(np.frombuffer(decision, np.uint32), self.spec.action_space, ".action")
        shown = {
            "action": action,
            "propensity": None if log_probability is None else _finite(math.exp(min(log_probability, _MOST_EXPONENT))),
            "value": None if value is None else _finite(value),
            "belief": self._belief(decision) if self._beliefs else None,
        }
        if self._guarded:
            shown["guard"] = self._guard_words(decision)
        return shown

    def _action(self, words: np.ndarray, space: ActionSpace, path: str) -> Any:
        """An action, or the part of it at a path, as its space has it, with lists for arrays."""
        if isinstance(space, COMPOSITE):
            names = sorted(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else range(len(space.spaces))
            parts = zip(names, parts_of(space), strict=True)
            return assembled([self._action(words, part, f"{path}[{name!r}]") for name, part in parts], space)
        return self.programs.decision.numbers(words, path).tolist()

    def _number(self, decision: bytes, path: str) -> float | None:
        """A number `[]` among the extras of a decision; None where there is none."""
        place = self._places.get(path)
        return None if place is None else _REAL.unpack_from(decision, 4 * place.start)[0]

    def _guard_words(self, decision: bytes) -> dict[str, str]:
        words, layout = np.frombuffer(decision, np.uint32), self.programs.decision
        reason, fallback = (layout.numbers(words, path).item() for path in (GUARD_REASON, GUARD_FALLBACK))
        return guard_words(reason, fallback=fallback)

    def _belief(self, decision: bytes) -> dict[str, Any]:
        words, layout = np.frombuffer(decision, np.uint32), self.programs.decision
        return {path.removeprefix(".extras['belief']"): layout.numbers(words, path).tolist() for path in self._beliefs}


def same_form(described: str | None, other: str) -> bool:
    """Whether sessions of one agent can go on with another one: spaces and layouts are equal. Envelopes may differ.

    Args:
      described: what is stored of the one, as `ServedAgent.described` gives it; None where nothing is.
      other: the same of the other.
    """
    if described is None:
        return False
    one, two = json.loads(described), json.loads(other)
    return all(one[name] == two[name] for name in ("spec", "layouts"))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
