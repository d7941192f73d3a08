"""The deviation of an agent in JAX from itself: the same steps, compiled one by one instead of all together.

Compilers round sums in different orders. A recurrent network may enlarge such differences over a lifetime. Then two programs of
JAX disagree too, and no other form can be asked to agree more closely.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.export.numpy_runtime import Feedback, replay
from quickstudy.export.vectors import Vectors
from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome
from quickstudy.rollout import session as sessions
from quickstudy.rollout.session import Session


def deviation_from_itself(agent: Agent, params: PyTree, vectors: Vectors, contract: dict[str, Any]) -> float:
    """The largest deviation of a number of the policy from recorded steps, as an exported form is measured.

    Args:
      agent: that recorded the steps, guarded.
      params: its parameters.
      vectors: recorded steps.
      contract: of the exported form.
    """
    found: dict[str, tuple[float, float]] = replay(_StepByStep(agent, params, contract), vectors.arrays())
    return max(apart for name, (apart, _) in found.items() if name.startswith("policy"))


class _StepByStep:
    """An agent in JAX that is called like an exported one."""

    def __init__(self, agent: Agent, params: PyTree, contract: dict[str, Any]):
        self.contract, self._params = contract, params
        self._names = [one["name"] for one in contract["decision"]]
        self._begin = jax.jit(partial(sessions.begin, agent))
        self._decide = jax.jit(partial(sessions.decide, agent))
        self._observe = jax.jit(partial(sessions.observe, agent, adapts=True))

    def begin(self, **drawn: Any) -> Session:
        """A session at the start of a lifetime, with these leaves of its memory; dots in their names are underlines."""
        session = self._begin(self._params, jax.random.key(0))
        leaves = named_leaves(session.memory, root="memory")
        given = [jnp.asarray(drawn.get(name.replace(".", "_"), leaf), leaf.dtype) for name, leaf in leaves.items()]
        return dataclasses.replace(session, memory=jax.tree.unflatten(jax.tree.structure(session.memory), given))

    def step(self, session: Session, feedback: Feedback | None, observation: Any) -> tuple[Session, dict[str, Any]]:
        """The session after the feedback and a decision, and the numbers of the decision."""
        if feedback is not None:
            taken = dataclasses.replace(session.decision, action=jnp.asarray(feedback.action, session.decision.action.dtype))
            outcome = Outcome(
                observation=jnp.asarray(feedback.successor),
                reward=jnp.float32(feedback.reward),
                terminated=jnp.asarray(np.bool_(feedback.terminated)),
                truncated=jnp.asarray(np.bool_(feedback.truncated)),
            )
            session = self._observe(self._params, dataclasses.replace(session, decision=taken), outcome)
        session = self._decide(self._params, session, observation)
        numbers = named_leaves(session.decision.extras, root="")
        return session, {name: np.asarray(numbers[f".{name}"]) for name in self._names}
