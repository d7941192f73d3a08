"""A provider for OpenFeature: evaluating a flag asks for a decision, and tracking an event gives its reward.

    targeting key of the context           -> session
    attribute "observation", 0 without it  -> observation
    attribute "decision_id"                -> id of the decision, if there is one
    value of a tracking event              -> reward

Every evaluation is a decision. If one visit evaluates a flag several times, give a `decision_id`, such as the number of the
visit. Then the flag has the same value each time. A tracking event belongs to the `decision_id` of its context. Without one, it
belongs to the last decision of the session that this provider knows of.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.serving.client import Client, ServerError

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import FlagNotFoundError, GeneralError, TargetingKeyMissingError, TypeMismatchError
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
    from openfeature.provider import AbstractProvider, Metadata
    from openfeature.track import TrackingEventDetails
except ImportError as error:
    raise MissingExtraError("openfeature-sdk, which the provider needs,", "openfeature") from error

_MOST_REMEMBERED = 100_000


class SessionsProvider(AbstractProvider):
    """Flags whose values are the actions of served agents.

    Args:
      clients: the server of each flag, by the key of the flag.
      variants: the values of the actions of a flag with Discrete actions, in their order. A flag without them has the action as
        its value.
      rewards: names of the tracking events that are rewards, with the flag that they reward.
    Raises:
      UsageError: variants or rewards of a flag that has no server.
    Example:
      >>> variants = {"banner": ["blue", "green"]}
      >>> provider = SessionsProvider({"banner": Client()}, variants=variants, rewards={"bought": "banner"})
      >>> openfeature.api.set_provider(provider)
    """

    def __init__(
        self,
        clients: Mapping[str, Client],
        *,
        variants: Mapping[str, Sequence[FlagValueType]] | None = None,
        rewards: Mapping[str, str],
    ):
        super().__init__()
        unknown = sorted({*(variants or {}), *rewards.values()} - set(clients))
        if unknown:
            known = ", ".join(clients) or "none"
            raise UsageError(f"no server is given for the flags {', '.join(unknown)}. Servers are given for: {known}.")
        self._clients, self._variants, self._rewards = dict(clients), dict(variants or {}), dict(rewards)
        self._last: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def get_metadata(self) -> Metadata:
        """The name of this provider."""
        return Metadata(name="quickstudy")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """A decision whose value is true or false."""
        return self._decided(flag_key, bool, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """A decision whose value is text."""
        return self._decided(flag_key, str, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """A decision whose value is a whole number."""
        return self._decided(flag_key, int, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """A decision whose value is a number."""
        return self._decided(flag_key, float, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """A decision whose value is a list or a table."""
        return self._decided(flag_key, (list, tuple, dict), evaluation_context)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Rewards a decision with the value of an event, 1 if it has none; events that are no rewards do nothing.

        Raises:
          GeneralError: there is no decision to reward, or the server refuses it.
        """
        flag = self._rewards.get(tracking_event_name)
        if flag is None:
            return
        session, attributes = _session_of(evaluation_context)
        decision_id = attributes.get("decision_id") or self._last.get((flag, session))
        if decision_id is None:
            raise GeneralError(f"session {session!r} has made no decision here. Give its decision_id with the context.")
        value = None if tracking_event_details is None else tracking_event_details.value
        try:
            self._clients[flag].reward(session, str(decision_id), 1.0 if value is None else float(value))
        except ServerError as error:
            raise GeneralError(str(error)) from error

    def _decided(self, flag: str, kinds: Any, context: EvaluationContext | None) -> FlagResolutionDetails[Any]:
        if flag not in self._clients:
            raise FlagNotFoundError(f"no server is given for flag {flag!r}; there are {', '.join(self._clients)}.")
        session, attributes = _session_of(context)
        given = attributes.get("decision_id")
        try:
            answer = self._clients[flag].act(
                session, attributes.get("observation", 0), decision_id=None if given is None else str(given)
            )
        except ServerError as error:
            raise GeneralError(str(error)) from error
        value, action = answer["action"], answer["action"]
        if flag in self._variants:
            value = self._variants[flag][action]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise TypeMismatchError(f"flag {flag!r} has the value {value!r:.80}, which is of another type.")
        with self._lock:
            self._last[flag, session] = answer["decision_id"]
            self._last.move_to_end((flag, session))
            if len(self._last) > _MOST_REMEMBERED:
                self._last.popitem(last=False)
        metadata: dict[str, bool | int | float | str] = {
            name: answer[name] for name in ("decision_id", "agent", "propensity") if answer[name] is not None
        }
        return FlagResolutionDetails(value=value, reason=Reason.SPLIT, variant=str(action), flag_metadata=metadata)


def _session_of(context: EvaluationContext | None) -> tuple[str, Mapping[str, Any]]:
    if context is None or not context.targeting_key:
        raise TargetingKeyMissingError("the targeting key names the session, as in EvaluationContext('customer-1').")
    return context.targeting_key, context.attributes
