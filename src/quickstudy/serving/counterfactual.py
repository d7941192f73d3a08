"""What the fallback of an envelope would have done at each decision of a logged session.

The guard gives the fallback every step of a session, whatever acts. So its memory follows from the log, and its decision from
that memory and the key of the decision. Here the session is replayed within the same envelope, with its kill switch at
`fallback`. Then the guard answers with the fallback's action, with the same key and within the same limits. Where the fallback
acted, that is the logged action, to the last bit.

The history stays the logged one: at each decision the fallback sees what the agent's actions before it have brought.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.events import Acted, Event, Moved, Renewed
from quickstudy.serving.log import counted
from quickstudy.serving.memory import Memories, begun, bring_up_to_date
from quickstudy.serving.served_agent import ServedAgent


@dataclasses.dataclass(frozen=True, kw_only=True)
class FallbackChoice:
    """What the fallback would have done at one decision.

    Args:
      action: as answers of the server show actions.
      propensity: probability of that action under the fallback, or its density; None where the fallback does not tell it.
      same: whether the logged action is the same one.
    """

    action: Any
    propensity: float | None
    same: bool


def fallback_choices(log: Sequence[Event], fallback: ServedAgent) -> dict[str, FallbackChoice]:
    """The fallback's choice at every decision that counts, by the id of the decision.

    Args:
      log: of the session, from its first event.
      fallback: the agent that served the session, in its envelope with `mode="fallback"`, and with the seed that served.
    Raises:
      UsageError: the session has moved to another version of the agent.
    """
    record, memories = fallback.record(), dict[int, Memories]()
    made: list[tuple[Acted, np.ndarray, np.ndarray]] = []
    for event in counted(list(log)):
        match event:
            case Moved():
                raise UsageError(
                    f"this session has moved to version {event.agent[:12]} of its agent, so no one version explains it."
                )
            case Renewed():
                memories.clear()
            case Acted():
                if not memories:
                    (memories[0],) = begun(fallback.programs, [fallback.key(record)])
                bring_up_to_date(fallback.programs, [(record, memories[0])])
                made.append((event, memories[0].working.copy(), memories[0].key))
        record.apply(event)
    if not made:
        return {}
    decided = fallback.programs.act(
        np.stack([memory for _, memory, _ in made]),
        np.stack([np.frombuffer(event.observation, np.uint32) for event, _, _ in made]),
        np.stack([key for _, _, key in made]),
        np.array([event.slot for event, _, _ in made], np.int32),
    )
    found = {}
    for (event, _, _), words in zip(made, decided, strict=True):
        ours, logged = fallback.shown(words.tobytes()), fallback.shown(event.decision)
        found[event.decision_id] = FallbackChoice(
            action=ours["action"], propensity=ours["propensity"], same=ours["action"] == logged["action"]
        )
    return found
