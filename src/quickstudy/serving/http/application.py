"""The application: paths to requests of the engine, and answers to responses."""

import asyncio
import contextlib
import functools
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from quickstudy.serving import requests as asked
from quickstudy.serving.engine import Engine
from quickstudy.serving.following import Following
from quickstudy.serving.heads import event_of
from quickstudy.serving.http import bodies
from quickstudy.serving.http.asgi import App, Asgi, Endpoint, Mailbox, Reply, Request
from quickstudy.serving.http.metrics import MEDIA_TYPE, Metrics
from quickstudy.serving.http.openapi import document
from quickstudy.serving.http.problems import failed, problem, refused
from quickstudy.serving.http.tokens import Caller, Rates, Tokens
from quickstudy.serving.log import checked_events
from quickstudy.serving.portable import from_lines, to_lines
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import SessionName

MOST_BYTES = 2**20
MOST_IMPORT_BYTES = 2**24
CHANGES = ("end", "freeze", "thaw")
_TOKENS_SECONDS, _REGISTRY_SECONDS = 2.0, 1.0

Handler = Callable[[Request, Caller, bytes], Awaitable[Reply]]


class Application:
    """The routes of one engine.

    Args:
      engine: that answers; it is started and stopped with the application.
      tokens: who may ask.
      rates: how often.
      follows: the alias that names the agent; it is looked at every second.
      beside: another application, which answers every path that is none of these.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: Tokens,
        *,
        rates: Rates | None = None,
        follows: Following | None = None,
        beside: App | None = None,
    ):
        self._beside = beside
        self._engine, self._tokens, self._rates, self._follows = engine, tokens, rates or Rates(None), follows
        self._metrics = Metrics(engine, follows)
        self._document = bodies.encoded(document(engine.served))
        self.failed: Exception | None = None

    def asgi(self) -> Asgi:
        """The application for a server."""
        one, many = "/v1/sessions/{session}", "/v1/sessions"
        changes = {f"{one}/{verb}": {"POST": self._serving(verb, "admin", self._changing(verb))} for verb in CHANGES}
        endpoints: dict[str, dict[str, Endpoint]] = {
            f"{one}/act": {"POST": self._serving("act", "act", self._act)},
            f"{one}/reward": {"POST": self._serving("reward", "reward", self._reward)},
            "/v1/batch": {"POST": self._serving("batch", "read", self._batch)},
            many: {"POST": self._serving("open", "act", self._open), "GET": self._serving("list", "read", self._list)},
            one: {"GET": self._serving("look", "read", self._look), "DELETE": self._serving("delete", "admin", self._delete)},
            **changes,
            f"{one}/rollback": {"POST": self._serving("rollback", "admin", self._rollback)},
            f"{one}/fork": {"POST": self._serving("fork", "admin", self._fork)},
            f"{one}/export": {"GET": self._serving("export", "admin", self._export)},
            f"{one}/import": {"POST": self._serving("import", "admin", self._import, most=MOST_IMPORT_BYTES)},
            "/healthz": {"GET": self._healthz},
            "/readyz": {"GET": self._readyz},
            "/metrics": {"GET": self._tell_metrics},
            "/openapi.json": {"GET": self._openapi},
        }
        return Asgi(endpoints, lifespan=self._lifespan, refused=refused, failed=failed, beside=self._beside)

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        self._mailbox = Mailbox(asyncio.get_running_loop())
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

    def _serving(self, kind: str, scope: str, handler: Handler, *, most: int = MOST_BYTES) -> Endpoint:
        async def endpoint(request: Request) -> Reply:
            began = time.perf_counter()
            try:
                caller = self._tokens.caller(request.header(b"authorization"))
                caller.needs(scope)
                if kind != "batch":
                    self._rates.take(caller.tenant)
                reply = await handler(request, caller, await request.body(most))
            except Refusal as refusal:
                reply = refused(refusal)
            self._metrics.note(kind, reply.status, time.perf_counter() - began)
            return reply

        return endpoint

    async def _ask(self, request: asked.Request) -> Any:
        (answer,) = await self._ask_all([request])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def _ask_all(self, requests: list[asked.Request]) -> list[Any]:
        """The answers to requests, in their order."""
        answers = asyncio.get_running_loop().create_future()
        self._engine.ask(requests, functools.partial(self._mailbox.put, answers))
        return await answers

    async def _act(self, request: Request, caller: Caller, body: bytes) -> Reply:
        wanted = bodies.act_request(_name(request, caller), bodies.decoded(bodies.ActBody, body))
        return _json(await self._ask(wanted))

    async def _reward(self, request: Request, caller: Caller, body: bytes) -> Reply:
        wanted = bodies.reward_request(_name(request, caller), bodies.decoded(bodies.RewardBody, body))
        answer = await self._ask(wanted)
        return _json(answer, status=200 if answer["applied"] else 202)

    async def _batch(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del request
        parts = bodies.decoded(bodies.BatchBody, body).requests
        for scope in {"act" if isinstance(part, bodies.BatchAct) else "reward" for part in parts}:
            caller.needs(scope)
        self._rates.take(caller.tenant, len(parts))
        answers = await self._ask_all([bodies.batch_request(caller.tenant, part) for part in parts])
        told = [problem(answer) if isinstance(answer, Refusal) else answer for answer in answers]
        return _json({"answers": told})

    async def _open(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del request
        session = bodies.decoded(bodies.OpenBody, body).session or secrets.token_hex(16)
        return _json(await self._ask(asked.Open(name=SessionName(caller.tenant, session))), status=201)

    async def _look(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del body
        return _json(await self._ask(asked.Look(name=_name(request, caller))))

    async def _list(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del body
        after, limit = request.query.get("after", ""), request.query.get("limit", "100")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= 1000:
            raise Refusal("invalid", "limit is not as expected.", field="limit", expected="1 to 1000", got=limit[:40])
        names = await self._call(lambda shelf: self._engine.store.names(caller.tenant, after=after, limit=int(limit)))
        return _json({"sessions": names, "next": names[-1] if len(names) == int(limit) else None})

    def _changing(self, verb: str) -> Handler:
        async def handler(request: Request, caller: Caller, body: bytes) -> Reply:
            bodies.decoded(bodies.ChangeBody, body)
            return _json(await self._ask(asked.Change(name=_name(request, caller), to=verb)))

        return handler

    async def _rollback(self, request: Request, caller: Caller, body: bytes) -> Reply:
        events = int(bodies.decoded(bodies.RollbackBody, body).events)
        return _json(await self._ask(asked.Rollback(name=_name(request, caller), events=events)))

    async def _fork(self, request: Request, caller: Caller, body: bytes) -> Reply:
        name, wanted = _name(request, caller), bodies.decoded(bodies.ForkBody, body)
        agent, log = await self._log(name)
        events = len(log) if wanted.events is None else checked_events(int(wanted.events), log)
        fork = asked.Open(name=SessionName(caller.tenant, wanted.session), log=tuple(log[:events]), agent=agent)
        return _json(await self._ask(fork), status=201)

    async def _export(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del body
        name = _name(request, caller)
        return Reply(to_lines(name.session, *await self._log(name)), media_type="application/jsonl")

    async def _import(self, request: Request, caller: Caller, body: bytes) -> Reply:
        name = _name(request, caller)
        agent, log = await asyncio.to_thread(from_lines, body, self._engine.versions)
        return _json(await self._ask(asked.Open(name=name, log=tuple(log), agent=agent)), status=201)

    async def _delete(self, request: Request, caller: Caller, body: bytes) -> Reply:
        del body
        name = _name(request, caller)
        if not await self._call(lambda shelf: self._engine.delete(name)):
            raise Refusal("unknown_session", "there is no such session.", field="session")
        return Reply(b"", 204)

    async def _log(self, name: SessionName) -> tuple[str, list]:
        """Digest of the version of a session, and its events."""
        state = await self._ask(asked.Look(name=name))  # refuses what there is not
        log = await self._call(lambda shelf: [event_of(event) for event in self._engine.store.events(name)])
        return state["agent"], log

    async def _call(self, function: Callable[[Any], Any]) -> Any:
        return await asyncio.wrap_future(self._engine.call(function))

    async def _healthz(self, request: Request) -> Reply:
        del request
        return _json({"status": "failed"}, status=500) if self.failed else _json({"status": "ok"})

    async def _readyz(self, request: Request) -> Reply:
        del request
        ready = self._engine.ready and not self._engine.draining
        trouble = self._engine.trouble or (str(self.failed) if self.failed else None)
        ok, registry = ready and trouble is None, self._follows.trouble if self._follows else None
        told = {"ready": ok, "agent": self._engine.served.digest, "trouble": trouble, "registry": registry}
        return _json(told, status=200 if ok else 503)

    async def _tell_metrics(self, request: Request) -> Reply:
        del request
        return Reply(self._metrics.text(), media_type=MEDIA_TYPE)

    async def _openapi(self, request: Request) -> Reply:
        del request
        return Reply(self._document)


async def _regularly(function: Callable[[], None], seconds: float) -> None:
    """Calls a function in a thread again and again, with a pause."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(function)


def _name(request: Request, caller: Caller) -> SessionName:
    return SessionName(caller.tenant, bodies.checked_name(request.session))


def _json(answer: Any, *, status: int = 200) -> Reply:
    return Reply(bodies.encoded(answer), status)
