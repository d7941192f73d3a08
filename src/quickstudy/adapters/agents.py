"""What every adapter is given: a bundle, or an agent and its parameters."""

import dataclasses
from typing import Any

import gymnasium
from jaxtyping import PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Spec
from quickstudy.storage.bundle import Bundle


def agent_and_params(source: Bundle | Agent, params: PyTree | None, *, seed_of_training: int = 0) -> tuple[Agent, PyTree]:
    """An agent, and its parameters without an axis of seeds.

    Args:
      source: a bundle, or an agent.
      params: of an agent; not to be given with a bundle, which holds its own.
      seed_of_training: which of the agents of a bundle.
    Raises:
      UsageError: parameters with a bundle, or an agent without.
    """
    if isinstance(source, Bundle):
        if params is not None:
            raise UsageError("parameters were given with a bundle, which holds its own. Give the bundle alone.")
        return source.agent, source.params_of(seed_of_training)
    if not isinstance(source, Agent):
        raise UsageError(f"an adapter needs a bundle (qs.load_bundle) or an agent with its parameters; came {source!r:.80}.")
    if params is None:
        raise UsageError("an agent was given without parameters. Give params=agent.init(key), or a bundle in place of both.")
    return source, params


def agent_with_actions(source: Bundle | Agent, *, actions: int, steps: int | None) -> Agent:
    """The agent as it is made for this number of Discrete actions, and for lifetimes of this length.

    Args:
      source: of the agent.
      actions: at least 1.
      steps: of a lifetime; as in training if None.
    Raises:
      SpecError: the agent serves one number of actions, or lifetimes of one length, only.
    """
    agent = source.agent if isinstance(source, Bundle) else source
    spec = agent.spec
    own, first = actions_of(spec)
    wanted = dataclasses.replace(spec, **_lengths(spec, steps))
    if actions != own:
        space = gymnasium.spaces.Discrete(actions, start=first)
        wanted = dataclasses.replace(wanted, action_space=space)
    if wanted == spec:
        return agent
    try:
        if isinstance(source, Bundle):
            return source.agent_for(wanted)
        raise SpecError("An agent that is no bundle is made for one spec")
    except SpecError as error:
        raise SpecError(
            f"this agent serves {own} arms and lifetimes of {spec.lifetime_steps} steps; asked for were "
            f"{actions} arms and {wanted.lifetime_steps} steps. Only a bundle whose network scores all actions alike serves "
            "other numbers: train rl2 with --cell associative and --scores-alike True."
        ) from error


def actions_of(spec: Spec) -> tuple[int, int]:
    """How many Discrete actions there are, and the number of the first.

    Raises:
      SpecError: actions of another kind.
    """
    space = spec.action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise SpecError(f"arms need an agent with Discrete actions; this one has {space}.")
    return int(space.n), int(space.start)


def _lengths(spec: Spec, steps: int | None) -> dict[str, Any]:
    """The setting of the spec that holds the length of a lifetime."""
    if steps is None or steps == spec.lifetime_steps:
        return {}
    if spec.horizon == 1:
        return {"episodes": steps}
    if spec.episodes == 1:
        return {"horizon": steps}
    raise SpecError(
        f"lifetimes of this agent are {spec.episodes} episodes of {spec.horizon} steps, so their length is not a free "
        "number of steps. Leave steps out."
    )
