"""What a request may do to a recorded lifetime. It is judged here, before it becomes an event; nothing here changes a record.

A decision needs a slot. A reward is applied, repeats what is known, comes when nothing can change any more, or contradicts what
is known; then it is refused.
"""

from quickstudy.rollout.session import next_slot
from quickstudy.serving.events import Rewarded
from quickstudy.serving.record import Message, Record, Step
from quickstudy.serving.refusal import Refusal


def slot_of_next(record: Record, *, new_episode: bool) -> int:
    """The slot of a decision that comes now.

    Raises:
      Refusal: the session or its lifetime is over, or the last step is known not to have ended its episode.
    """
    if record.ended:
        raise Refusal("conflict", "the session has ended.", hint="Open another session.")
    slot = record.next
    if new_episode and slot % record.horizon:
        if record.goes_on:
            raise Refusal(
                "conflict",
                "a new episode cannot begin here: the last reward says that its episode goes on.",
                field="new_episode",
                hint='Send "terminated" or "truncated" with the last reward of an episode.',
            )
        slot = next_slot(slot - 1, True, horizon=record.horizon)
    if slot >= record.lifetime_steps and record.policy.at_end == "stop":
        raise Refusal(
            "conflict",
            f"the lifetime of {record.lifetime_steps} steps that this agent was made for is over.",
            hint="Open another session, or serve with at_end=new or at_end=continue.",
        )
    return slot


def effect_of_reward(record: Record, step: Step, came: Rewarded) -> str:
    """What a reward does to its decision: `applied`, `repeated`, or the reason why it changes nothing.

    Raises:
      Refusal: it contradicts what is known.
    """
    if record.ended:
        return "ended"
    said = Message(came.reward, came.successor, came.terminated, came.truncated)
    if came.reward_id in step.messages:
        if step.messages[came.reward_id] != said:
            raise contradiction(step, came)
        return "repeated"
    if step.reason is not None:
        return step.reason
    if step.final:
        if record.policy.aggregate == "first":
            return "first"
        raise contradiction(step, came)
    if record.frozen:
        return "frozen"
    if step.valid and came.successor != step.successor:
        raise Refusal(
            "conflict",
            f"another reward of decision {step.decision_id!r} named another observation that followed.",
            field="observation",
            hint="Send the same observation with every reward of a decision.",
        )
    if (came.terminated or came.truncated) and _went_on(record, step.slot):
        raise Refusal(
            "conflict",
            f"decision {step.decision_id!r} cannot end its episode: the episode went on after it.",
            field="terminated" if came.terminated else "truncated",
            hint='Send "new_episode": true with the first decision of an episode if the last reward is still open.',
        )
    return "applied"


def contradiction(step: Step, came: Rewarded) -> Refusal:
    """The refusal of a reward that differs from those that were taken in."""
    return Refusal(
        "conflict",
        f"decision {step.decision_id!r} was rewarded already, with something else.",
        field="reward",
        expected=", ".join(repr(message.reward) for message in step.messages.values()),
        got=repr(came.reward),
        hint="A reward cannot be changed. Where a decision has several, serve with an aggregate and give each a reward_id.",
    )


def _went_on(record: Record, slot: int) -> bool:
    """Whether a later decision lies in the same episode."""
    following = slot + 1
    return following % record.horizon != 0 and following in record.steps
