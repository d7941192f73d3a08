"""Bodies of requests, as msgspec checks them: unknown fields are refused, and a problem names the field."""

import re
from typing import Annotated, Any, Literal

import msgspec

from quickstudy.serving.elements import LARGEST
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import Act, Request, Reward, SessionName

NAME_PATTERN = r"^[A-Za-z0-9._~-]{1,128}$"
MOST_IN_BATCH = 1024
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN, description="letters, digits and . _ ~ -, at most 128")]
Observation = Annotated[Any, msgspec.Meta(description="an element of the agent's observation space")]


Whole = Annotated[float, msgspec.Meta(ge=1, le=2**40, multiple_of=1, extra_json_schema={"type": "integer"})]
"""A whole number; in JSON, 3.0 is one."""


class OpenBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Opens a session; without a name it gets one."""

    session: Name | None = None


class ActBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Asks for a decision."""

    observation: Observation
    decision_id: Name | None = None
    new_episode: bool = False


class RewardBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Says what followed a decision."""

    decision_id: Name
    reward: Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
    reward_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{0,128}$")] = ""
    observation: Observation = None
    terminated: bool = False
    truncated: bool = False


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Has nothing in it."""


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Makes a session as it was after its first events."""

    events: Whole


class ForkBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Copies a session, up to a number of events, under another name."""

    session: Name
    events: Whole | None = None


class BatchAct(ActBody, tag_field="op", tag="act"):
    """One decision of a batch."""

    session: Name


class BatchReward(RewardBody, tag_field="op", tag="reward"):
    """One reward of a batch."""

    session: Name


Batch = Annotated[list[BatchAct | BatchReward], msgspec.Meta(min_length=1, max_length=MOST_IN_BATCH)]


class BatchBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Decisions and rewards of many sessions. Each is answered by itself, in the same order."""

    requests: Batch


class Answer(msgspec.Struct, kw_only=True):
    """A decision. `propensity`: probability of the action, or its density; `belief`: what the agent knows of its task.

    `guard`: what acted (agent or fallback) and why; only where the agent has an envelope.
    """

    session: str
    decision_id: str
    slot: int
    action: Annotated[Any, msgspec.Meta(description="an element of the agent's action space")]
    propensity: float | None
    value: float | None
    belief: dict[str, Any] | None
    agent: str
    guard: dict[str, str] | None = None


class Joined(msgspec.Struct, kw_only=True):
    """What a reward did. `reason`: why it changed nothing, if it did not."""

    decision_id: str
    applied: bool
    reason: Literal["repeated", "window", "lifetime", "frozen", "ended", "first"] | None


class State(msgspec.Struct, kw_only=True):
    """A session. `open`: decisions whose reward may still come."""

    session: str
    agent: str
    lifetime: int
    steps: int
    lifetime_steps: int
    open: int
    events: int
    frozen: bool
    ended: bool


class SessionNames(msgspec.Struct, kw_only=True):
    """Names of sessions, in alphabetical order. `next`: for `after`, where there may be more."""

    sessions: list[str]
    next: str | None


class ProblemBody(msgspec.Struct, kw_only=True):
    """What is wrong with a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    expected: str | None = None
    got: str | None = None
    hint: str | None = None


class BatchAnswers(msgspec.Struct, kw_only=True):
    """The answers to a batch, in its order: an `Answer`, a `Joined`, or a problem for each."""

    answers: list[dict[str, Any]]


_KINDS = (OpenBody, ActBody, RewardBody, ChangeBody, RollbackBody, ForkBody, BatchBody)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in _KINDS}
_encoder = msgspec.json.Encoder()
_NAME = re.compile(NAME_PATTERN[1:-1])
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.S)
_FIELD = re.compile(r"field `(?P<field>\w+)`")
_EXPECTED = re.compile(r"^Expected `?(?P<expected>.+?)`?(?:, got `?(?P<got>.+?)`?)?$", re.S)


def decoded(kind: type, body: bytes) -> Any:
    """The body of a request.

    Raises:
      Refusal: it is no JSON, a field is missing, unknown or of another type.
    """
    try:
        return _decoders[kind].decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("invalid", "the body is not JSON.", expected="a JSON object", got=str(error)[:120]) from None


def encoded(answer: Any) -> bytes:
    """An answer as JSON."""
    return _encoder.encode(answer)


def checked_name(name: str) -> str:
    """The name of a session from a path.

    Raises:
      Refusal: it has other characters.
    """
    if _NAME.fullmatch(name) is None:
        raise Refusal(
            "invalid", "this is no name of a session.", field="session", expected="letters, digits and . _ ~ -, at most 128"
        )
    return name


def act_request(name: SessionName, body: ActBody) -> Act:
    """What the body of `act` asks for."""
    return Act(name=name, observation=body.observation, decision_id=body.decision_id, new_episode=body.new_episode)


def reward_request(name: SessionName, body: RewardBody) -> Reward:
    """What the body of `reward` asks for."""
    return Reward(
        name=name,
        decision_id=body.decision_id,
        reward=body.reward,
        reward_id=body.reward_id,
        observation=body.observation,
        terminated=body.terminated,
        truncated=body.truncated,
    )


def batch_request(tenant: str, one: BatchAct | BatchReward) -> Request:
    """What one part of a batch asks for."""
    name = SessionName(tenant, one.session)
    return act_request(name, one) if isinstance(one, BatchAct) else reward_request(name, one)


def _invalid(said: str, kind: type) -> Refusal:
    """A refusal of a body of a kind from the words of msgspec, such as: Expected `int`, got `str` - at `$.events`."""
    found = _WHERE.match(said)
    what, path = (found["what"], (found["path"] or "").lstrip(".")) if found else (said, "")
    named, wanted = _FIELD.search(what), _EXPECTED.match(what)
    field = ".".join(part for part in (path, named["field"] if named else "") if part) or None
    if wanted is None:
        return Refusal("invalid", f"{what}.", field=field, expected=_allowed(path, kind))
    expected = wanted["expected"].replace("`", "")  # of a range, msgspec quotes the type alone: `float` <= 1.0
    return Refusal("invalid", f"{field or 'the body'} is not as expected.", field=field, expected=expected, got=wanted["got"])


def _allowed(path: str, kind: type) -> str | None:
    """What may stand at a place of a body, in words: the fields of its object, or the values of `op`."""
    if path.endswith(".op"):
        return "act or reward"
    if path:
        return None
    return f"an object with {', '.join(field.name for field in msgspec.structs.fields(kind)) or 'no fields'}"
