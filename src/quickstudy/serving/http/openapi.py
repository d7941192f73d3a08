"""The OpenAPI document of the server, from the bodies that it checks requests with."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

import msgspec

from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import Space
from quickstudy.serving.elements import schema_of
from quickstudy.serving.http import bodies
from quickstudy.serving.http.problems import MEDIA_TYPE
from quickstudy.serving.served_agent import ServedAgent

_ONE = "/v1/sessions/{session}"
_POSTS = {
    f"{_ONE}/act": ("act", "Ask for a decision", bodies.ActBody, bodies.Answer, 200, "act"),
    f"{_ONE}/reward": ("reward", "Say what followed a decision", bodies.RewardBody, bodies.Joined, 200, "reward"),
    f"{_ONE}/end": ("end", "End a session", bodies.ChangeBody, bodies.State, 200, "admin"),
    f"{_ONE}/freeze": ("freeze", "Let a session act without adapting", bodies.ChangeBody, bodies.State, 200, "admin"),
    f"{_ONE}/thaw": ("thaw", "Let a session adapt again", bodies.ChangeBody, bodies.State, 200, "admin"),
    f"{_ONE}/rollback": ("rollback", "Undo all but the first events", bodies.RollbackBody, bodies.State, 200, "admin"),
    f"{_ONE}/fork": ("fork", "Copy a session", bodies.ForkBody, bodies.State, 201, "admin"),
    "/v1/sessions": ("open", "Open a session", bodies.OpenBody, bodies.State, 201, "act"),
    "/v1/batch": ("batch", "Ask for and reward many decisions", bodies.BatchBody, bodies.BatchAnswers, 200, "act or reward"),
}


def document(served: ServedAgent) -> dict[str, Any]:
    """The document.

    Args:
      served: the agent; its spaces are described.
    """
    kinds = [*{kind for _, _, *both, _, _ in _POSTS.values() for kind in both}, bodies.SessionNames, bodies.ProblemBody]
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    reference = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Any] = {
        path: {
            "post": _operation(
                name, says, scope, status, reference[answer], body=reference[body], needs_body=_required(body), path=path
            )
        }
        for path, (name, says, body, answer, status, scope) in _POSTS.items()
    }
    limits = [_query("after", {"type": "string"}), _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000})]
    paths["/v1/sessions"]["get"] = _operation(
        "list", "Names of sessions", "read", 200, reference[bodies.SessionNames], parameters=limits
    )
    paths[_ONE] = {
        "get": _operation("look", "The state of a session", "read", 200, reference[bodies.State], path=_ONE),
        "delete": _operation("delete", "Delete a session and all that was said in it", "admin", 204, None, path=_ONE),
    }
    lines = {"application/jsonl": {"schema": {"type": "string"}}}
    export = _operation("export", "A session as JSON lines", "admin", 200, None, path=f"{_ONE}/export")
    export["responses"]["200"] = {"description": "JSON lines", "content": lines}
    take = _operation("import", "A session from JSON lines", "admin", 201, reference[bodies.State], path=f"{_ONE}/import")
    take["requestBody"] = {"required": True, "content": lines}
    paths |= {f"{_ONE}/export": {"get": export}, f"{_ONE}/import": {"post": take}}
    for path, says in (("/healthz", "Whether the server lives"), ("/readyz", "Whether it can decide and store")):
        paths[path] = {"get": _operation(path[1:], says, None, 200, {"type": "object"})}
    components["ProblemBody"]["additionalProperties"] = True
    _describe_spaces(components, served.spec)
    return {
        "openapi": "3.1.0",
        "info": {"title": "quickstudy", "version": _version(), "description": _description(served)},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe_spaces(components: dict[str, Any], spec: Spec) -> None:
    """Puts the spaces of the agent into the schemas of bodies and answers.

    Not into those of a batch: a part with a wrong observation is answered by itself, and the batch is not refused.
    """
    observation, actions = schema_of(spec.observation_space), spec.action_space
    components["ActBody"]["properties"]["observation"] |= observation
    components["RewardBody"]["properties"]["observation"] |= {"anyOf": [observation, {"type": "null"}]}
    if isinstance(actions, get_args(Space)):
        components["Answer"]["properties"]["action"] |= schema_of(actions)


def _required(kind: type) -> bool:
    """Whether a body has a field that must be given."""
    return any(field.required for field in msgspec.structs.fields(kind))


def _operation(
    name: str,
    says: str,
    scope: str | None,
    status: int,
    answer: dict[str, Any] | None,
    *,
    body: dict[str, Any] | None = None,
    needs_body: bool = True,
    path: str = "",
    parameters: list | None = None,
) -> dict[str, Any]:
    content = {} if answer is None else {"content": {"application/json": {"schema": answer}}}
    refusal = {"description": "Refused", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}}
    responses: dict[str, Any] = {str(status): {"description": says, **content}, "default": refusal}
    if name == "reward":
        responses["202"] = {"description": "It changed nothing; `reason` says why", **content}
    operation: dict[str, Any] = {"operationId": name, "summary": says, "responses": responses}
    if "{session}" in path:
        schema = {"type": "string", "pattern": bodies.NAME_PATTERN}
        parameters = [*(parameters or []), {"name": "session", "in": "path", "required": True, "schema": schema}]
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": needs_body, "content": {"application/json": {"schema": body}}}
    if scope is not None:
        operation |= {"security": [{"token": []}, {}], "description": f"Scope: {scope}."}
    return operation


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _description(served: ServedAgent) -> str:
    spec = served.spec
    return (
        f"Sessions of an adaptive agent. Observations: {spec.observation_space}. Actions: {spec.action_space}. "
        f"A lifetime has {spec.lifetime_steps} steps in {spec.episodes} episodes of at most {spec.horizon}."
    )


def _version() -> str:
    try:
        return version("quickstudy")
    except PackageNotFoundError:
        return "0"
