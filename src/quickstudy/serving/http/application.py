"""The application: paths to requests of the engine, and answers to responses."""

import asyncio
import contextlib
import functools
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from quickstudy.serving import requests as asked
from quickstudy.serving.engine import Engine
from quickstudy.serving.following import Following
from quickstudy.serving.heads import event_of
from quickstudy.serving.http import bodies
from quickstudy.serving.http.metrics import MEDIA_TYPE, Metrics
from quickstudy.serving.http.openapi import document
from quickstudy.serving.http.problems import problem, refused
from quickstudy.serving.http.tokens import Caller, Rates, Tokens
from quickstudy.serving.portable import from_lines, to_lines
from quickstudy.serving.record import checked_events
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import SessionName
from quickstudy.serving.stores.store import StoreError

MOST_BYTES = 2**20
MOST_IMPORT_BYTES = 2**24
_TOKENS_SECONDS, _REGISTRY_SECONDS = 2.0, 1.0
_JSON = "application/json"

Handler = Callable[[Request, Caller, bytes], Awaitable[Response]]


class Application:
    """The routes of one engine.

    Args:
      engine: that answers; it is started and stopped with the application.
      tokens: who may ask.
      rates: how often.
      follows: the alias that names the agent; it is looked at every second.
      beside: another application, which answers every path that is none of these routes.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: Tokens,
        *,
        rates: Rates | None = None,
        follows: Following | None = None,
        beside: ASGIApp | None = None,
    ):
        self._beside: list[BaseRoute] = [] if beside is None else [Mount("/", beside)]
        self._engine, self._tokens, self._rates, self._follows = engine, tokens, rates or Rates(None), follows
        self._metrics = Metrics(engine, follows)
        self._document = bodies.encoded(document(engine.served))
        self.failed: Exception | None = None

    def starlette(self) -> Starlette:
        """The application for a server."""
        one = "/v1/sessions/{session}"
        changes = [
            self._route(f"{one}/{verb}", "POST", verb, "admin", self._changing(verb)) for verb in ("end", "freeze", "thaw")
        ]
        routes = [
            self._route(f"{one}/act", "POST", "act", "act", self._act),
            self._route(f"{one}/reward", "POST", "reward", "reward", self._reward),
            self._route("/v1/batch", "POST", "batch", "read", self._batch),
            self._route("/v1/sessions", "POST", "open", "act", self._open),
            self._route("/v1/sessions", "GET", "list", "read", self._list),
            self._route(one, "GET", "look", "read", self._look),
            self._route(one, "DELETE", "delete", "admin", self._delete),
            *changes,
            self._route(f"{one}/rollback", "POST", "rollback", "admin", self._rollback),
            self._route(f"{one}/fork", "POST", "fork", "admin", self._fork),
            self._route(f"{one}/export", "GET", "export", "admin", self._export),
            self._route(f"{one}/import", "POST", "import", "admin", self._import, most=MOST_IMPORT_BYTES),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._tell_metrics),
            Route("/openapi.json", self._openapi),
        ]
        # Starlette's own type asks each handler to take every exception; it calls one with those of its key alone.
        handlers: dict[Any, Any] = {HTTPException: _http_problem, 500: _failure}
        return Starlette(routes=[*_merged(routes), *self._beside], lifespan=self._lifespan, exception_handlers=handlers)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        del app
        starting = threading.Thread(target=self._start, name="quickstudy-start", daemon=True)
        starting.start()
        regularly = [asyncio.create_task(_regularly(self._tokens.refresh, _TOKENS_SECONDS))]
        if self._follows is not None:
            look = functools.partial(self._follows.look, self._engine)
            regularly.append(asyncio.create_task(_regularly(look, _REGISTRY_SECONDS)))
        try:
            yield
        finally:
            for task in regularly:
                task.cancel()
            await asyncio.to_thread(starting.join)  # it may be compiling still
            if self._engine.ready:
                await asyncio.to_thread(self._engine.stop)

    def _start(self) -> None:
        try:
            self._engine.start()
        except Exception as error:
            self.failed = error

    def _route(self, path: str, method: str, kind: str, scope: str, handler: Handler, *, most: int = MOST_BYTES) -> Route:
        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            try:
                caller = self._tokens.caller(request.headers.get("authorization"))
                caller.needs(scope)
                if kind != "batch":
                    self._rates.take(caller.tenant)
                body = await _body(request, most)
                response = await handler(request, caller, body)
            except Refusal as refusal:
                response = refused(refusal)
            self._metrics.note(kind, response.status_code, time.perf_counter() - began)
            return response

        return Route(path, endpoint, methods=[method])

    async def _ask(self, request: asked.Request) -> Any:
        (answer,) = await self._ask_all([request])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def _ask_all(self, requests: list[asked.Request]) -> list[Any]:
        """The answers to requests, which may come from other threads, in their order."""
        self._engine.admit(requests[0])
        loop = asyncio.get_running_loop()
        answers: list[Any] = [None] * len(requests)
        done, left, lock = loop.create_future(), [len(requests)], threading.Lock()

        def finish() -> None:
            if not done.done():  # the client may have gone away meanwhile
                done.set_result(None)

        def take(number: int, answer: Any) -> None:
            answers[number] = answer
            with lock:
                left[0] -= 1
                finished = left[0] == 0
            if finished:
                with contextlib.suppress(RuntimeError):  # the server has stopped without waiting
                    loop.call_soon_threadsafe(finish)

        for number, request in enumerate(requests):
            try:
                self._engine.ask(request, functools.partial(take, number))
            except Refusal as refusal:
                take(number, refusal)
        await done
        return answers

    async def _act(self, request: Request, caller: Caller, body: bytes) -> Response:
        wanted = bodies.act_request(_name(request, caller), bodies.decoded(bodies.ActBody, body))
        return _json(await self._ask(wanted))

    async def _reward(self, request: Request, caller: Caller, body: bytes) -> Response:
        wanted = bodies.reward_request(_name(request, caller), bodies.decoded(bodies.RewardBody, body))
        answer = await self._ask(wanted)
        return _json(answer, status=200 if answer["applied"] else 202)

    async def _batch(self, request: Request, caller: Caller, body: bytes) -> Response:
        del request
        parts = bodies.decoded(bodies.BatchBody, body).requests
        for scope in {"act" if isinstance(part, bodies.BatchAct) else "reward" for part in parts}:
            caller.needs(scope)
        self._rates.take(caller.tenant, len(parts))
        answers = await self._ask_all([bodies.batch_request(caller.tenant, part) for part in parts])
        told = [problem(answer) if isinstance(answer, Refusal) else answer for answer in answers]
        return _json({"answers": told})

    async def _open(self, request: Request, caller: Caller, body: bytes) -> Response:
        del request
        session = bodies.decoded(bodies.OpenBody, body).session or secrets.token_hex(16)
        return _json(await self._ask(asked.Open(name=SessionName(caller.tenant, session))), status=201)

    async def _look(self, request: Request, caller: Caller, body: bytes) -> Response:
        del body
        return _json(await self._ask(asked.Look(name=_name(request, caller))))

    async def _list(self, request: Request, caller: Caller, body: bytes) -> Response:
        del body
        after, limit = request.query_params.get("after", ""), request.query_params.get("limit", "100")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= 1000:
            raise Refusal("invalid", "limit is not as expected.", field="limit", expected="1 to 1000", got=limit[:40])
        names = await self._call(lambda shelf: self._engine.store.names(caller.tenant, after=after, limit=int(limit)))
        return _json({"sessions": names, "next": names[-1] if len(names) == int(limit) else None})

    def _changing(self, verb: str) -> Handler:
        async def handler(request: Request, caller: Caller, body: bytes) -> Response:
            bodies.decoded(bodies.ChangeBody, body)
            return _json(await self._ask(asked.Change(name=_name(request, caller), to=verb)))

        return handler

    async def _rollback(self, request: Request, caller: Caller, body: bytes) -> Response:
        events = int(bodies.decoded(bodies.RollbackBody, body).events)
        return _json(await self._ask(asked.Rollback(name=_name(request, caller), events=events)))

    async def _fork(self, request: Request, caller: Caller, body: bytes) -> Response:
        name, wanted = _name(request, caller), bodies.decoded(bodies.ForkBody, body)
        agent, log = await self._log(name)
        events = len(log) if wanted.events is None else checked_events(int(wanted.events), log)
        fork = asked.Open(name=SessionName(caller.tenant, wanted.session), log=tuple(log[:events]), agent=agent)
        return _json(await self._ask(fork), status=201)

    async def _export(self, request: Request, caller: Caller, body: bytes) -> Response:
        del body
        name = _name(request, caller)
        return Response(to_lines(name.session, *await self._log(name)), media_type="application/jsonl")

    async def _import(self, request: Request, caller: Caller, body: bytes) -> Response:
        name = _name(request, caller)
        agent, log = await asyncio.to_thread(from_lines, body, self._engine.versions)
        return _json(await self._ask(asked.Open(name=name, log=tuple(log), agent=agent)), status=201)

    async def _delete(self, request: Request, caller: Caller, body: bytes) -> Response:
        del body
        name = _name(request, caller)
        if not await self._call(lambda shelf: self._engine.delete(name)):
            raise Refusal("unknown_session", "there is no such session.", field="session")
        return Response(status_code=204)

    async def _log(self, name: SessionName) -> tuple[str, list]:
        """Digest of the version of a session, and its events."""
        state = await self._ask(asked.Look(name=name))  # refuses what there is not
        log = await self._call(lambda shelf: [event_of(event) for event in self._engine.store.events(name)])
        return state["agent"], log

    async def _call(self, function: Callable[[Any], Any]) -> Any:
        return await asyncio.wrap_future(self._engine.call(function))

    async def _healthz(self, request: Request) -> Response:
        del request
        return _json({"status": "failed"}, status=500) if self.failed else _json({"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        del request
        ready = self._engine.ready and not self._engine.draining
        trouble = self._engine.trouble or (str(self.failed) if self.failed else None)
        ok, registry = ready and trouble is None, self._follows.trouble if self._follows else None
        told = {"ready": ok, "agent": self._engine.served.digest, "trouble": trouble, "registry": registry}
        return _json(told, status=200 if ok else 503)

    async def _tell_metrics(self, request: Request) -> Response:
        del request
        return Response(self._metrics.text(), headers={"Content-Type": MEDIA_TYPE})

    async def _openapi(self, request: Request) -> Response:
        del request
        return Response(self._document, media_type=_JSON)


async def _regularly(function: Callable[[], None], seconds: float) -> None:
    """Calls a function in a thread again and again, with a pause."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(function)


async def _body(request: Request, most: int) -> bytes:
    """The body, of which no more is read than is allowed."""
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said[:18]) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _too_large(most)
            parts.append(part)
    except ClientDisconnect:
        raise Refusal("invalid", "the client went away.") from None
    return b"".join(parts)


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", "the body is too large.", expected=f"at most {most} bytes", hint="Send several requests.")


def _name(request: Request, caller: Caller) -> SessionName:
    return SessionName(caller.tenant, bodies.checked_name(request.path_params["session"]))


def _json(answer: Any, *, status: int = 200) -> Response:
    return Response(bodies.encoded(answer), status, media_type=_JSON)


def _merged(routes: list[Route]) -> list[Route]:
    """Routes of one path as one route, so that another method is refused rather than not found."""
    merged: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in route.methods or {"GET"}:
            merged.setdefault(route.path, {}).setdefault(method, route.endpoint)
    return [Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in merged.items()]


def _by_method(endpoints: dict[str, Any]) -> Any:
    if len({id(endpoint) for endpoint in endpoints.values()}) == 1:
        return next(iter(endpoints.values()))

    async def endpoint(request: Request) -> Response:
        return await endpoints[request.method](request)

    return endpoint


async def _http_problem(request: Request, error: HTTPException) -> Response:
    del request
    if error.status_code == 405:
        return refused(Refusal("method", "this path has other methods."), **(error.headers or {}))
    return refused(Refusal("not_found", "there is nothing at this path.", hint="See /openapi.json."))


async def _failure(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, StoreError):
        return refused(Refusal("store", str(error), hint="Send the request again later."))
    return refused(Refusal("internal", f"{type(error).__name__} in the server.", hint="Send it again; tell the operator."))
