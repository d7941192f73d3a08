"""Decisions whose steps were settled and forgotten: the answer to a reward that comes again."""

from typing import NamedTuple

from quickstudy.serving.events import Acted, Event, Lapsed, Rewarded
from quickstudy.serving.judgement import contradiction
from quickstudy.serving.policy import SessionPolicy
from quickstudy.serving.record import Message, Step


class Settled(NamedTuple):
    """A decision, and the later events that name it."""

    acted: Acted
    rest: list[Event]


def answer_to(settled: Settled, came: Rewarded, policy: SessionPolicy) -> str:
    """What a reward for a settled decision does, as `effect_of_reward` says it; it never changes anything.

    Raises:
      Refusal: the reward contradicts that which was taken in.
    """
    rewards = [event for event in settled.rest if isinstance(event, Rewarded)]
    said = {event.reward_id: Message(event.reward, event.successor, event.terminated, event.truncated) for event in rewards}
    came_says = Message(came.reward, came.successor, came.terminated, came.truncated)
    step = Step(settled.acted.slot, settled.acted.decision_id, b"", b"", None, messages=said)
    if said.get(came.reward_id) == came_says:
        return "repeated"
    if came.reward_id in said:
        raise contradiction(step, came)
    if any(isinstance(event, Lapsed) for event in settled.rest):
        return "window"
    if not rewards:
        return "lifetime"
    if policy.aggregate == "none":
        raise contradiction(step, came)
    return policy.aggregate if policy.aggregate == "first" else "window"
