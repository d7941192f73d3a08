"""The way from a path to its handler and back, over ASGI: what this server needs of it, and no more.

A framework costs about as much time as all the rest of a request. The paths here are few, and only one part of them varies.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from quickstudy.serving.refusal import Refusal

JSON = "application/json"
_SESSIONS = "/v1/sessions/"
_log = logging.getLogger("quickstudy.serving")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Reply(NamedTuple):
    """A response."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}


class Request:
    """A request whose body is not read yet. `session`: the part of the path that varies; empty where none does."""

    __slots__ = ("_receive", "_scope", "session")

    def __init__(self, scope: Any, receive: Receive, session: str):
        self._scope, self._receive, self.session = scope, receive, session

    def header(self, name: bytes) -> str | None:
        """A header by its name in small letters."""
        for key, value in self._scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def query(self) -> dict[str, str]:
        """What follows the question mark."""
        return dict(parse_qsl(str(self._scope["query_string"], "latin-1"), keep_blank_values=True))

    async def body(self, most: int) -> bytes:
        """The body, of which no more is read than is allowed.

        Raises:
          Refusal: it is too large, or the client went away.
        """
        said = self.header(b"content-length") or "0"
        if not said.isdigit() or int(said[:18]) > most:
            raise _too_large(most)
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refusal("invalid", "the client went away.")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_large(most)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


Endpoint = Callable[[Request], Awaitable[Reply]]


class Asgi:
    """An ASGI application.

    Args:
      endpoints: by path and method. `{session}` in a path stands for a part of it.
      lifespan: entered before the first request, and left after the last.
      refused: makes the reply to a request that is refused; headers are added to it.
      failed: makes the reply to a request whose endpoint has failed.
      beside: another application, which answers every path that has no endpoint.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Mapping[str, Endpoint]],
        *,
        lifespan: Callable[[], contextlib.AbstractAsyncContextManager[None]],
        refused: Callable[..., Reply],
        failed: Callable[[Exception], Reply],
        beside: App | None = None,
    ):
        self._endpoints, self._lifespan, self._refused, self._failed = endpoints, lifespan, refused, failed
        self._beside = beside

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serves one request, or the start and the end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._beside is not None and _known_part(scope["path"])[0] not in self._endpoints:
            await self._beside(scope, receive, send)
        elif scope["type"] == "http":
            reply = await self._reply(scope, receive)
            headers = [(b"content-type", reply.media_type.encode()), (b"content-length", b"%d" % len(reply.body))]
            headers += [(name.encode(), value.encode()) for name, value in reply.headers.items()]
            if reply.status == 204:
                del headers[:2]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Any, receive: Receive) -> Reply:
        path, session = _known_part(scope["path"].removeprefix(scope.get("root_path", "")))
        endpoints = self._endpoints.get(path)
        if endpoints is None:
            return self._refused(Refusal("not_found", "there is nothing at this path.", hint="See /openapi.json."))
        endpoint = endpoints.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if endpoint is None:
            return self._refused(Refusal("method", "this path has other methods."), Allow=", ".join(sorted(endpoints)))
        try:
            return await endpoint(Request(scope, receive, session))
        except Exception as error:
            _log.exception("a request of %s failed", path)
            return self._failed(error)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


class Mailbox:
    """Takes results from other threads to the loop that waits for them.

    It wakes the loop once for all that came meanwhile, because waking it costs more than a result.

    Args:
      loop: that waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop, self._waking = loop, False
        self._came: deque[tuple[asyncio.Future, Any]] = deque()

    def put(self, future: asyncio.Future, result: Any) -> None:
        """Gives a future of the loop its result; from any thread."""
        self._came.append((future, result))
        if not self._waking:
            self._waking = True
            with contextlib.suppress(RuntimeError):  # the server has stopped without waiting
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._waking = False
        while self._came:
            future, result = self._came.popleft()
            if not future.done():  # the client may have gone away meanwhile
                future.set_result(result)


def _known_part(path: str) -> tuple[str, str]:
    """A path with `{session}` in place of the name of a session, and that name."""
    if path.startswith(_SESSIONS):
        session, slash, verb = path[len(_SESSIONS) :].partition("/")
        if session:
            return f"{_SESSIONS}{{session}}{slash}{verb}", session
    return path, ""


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", "the body is too large.", expected=f"at most {most} bytes", hint="Send several requests.")
