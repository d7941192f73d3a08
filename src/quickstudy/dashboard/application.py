"""The application: routes, signing in, security headers, and what is shown where something is refused."""

import asyncio
import logging
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quickstudy.dashboard.access import COOKIE, FORM_KEY, Access, token_of
from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.rendering import Pages
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.serving.client import ServerError
from quickstudy.serving.refusal import Refusal

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_MOST_FORM_BYTES = 2**16
_FOLDER = Path(__file__).parent
_log = logging.getLogger("quickstudy.dashboard")


def application(routes: Sequence[PageRoute], access: Access, pages: Pages) -> ASGIApp:
    """The application for a server.

    Args:
      routes: of the parts of the dashboard.
      access: who may see it.
      pages: makes pages.
    """
    own = [
        Route("/", _to_runs),
        Route("/sign-in", _SignIn(access, pages), methods=["GET", "POST"]),
        Route("/sign-out", _SignOut(access), methods=["POST"]),
        Mount("/static", StaticFiles(directory=_FOLDER / "static")),
        Mount("/vendor", StaticFiles(directory=_FOLDER / "vendor")),
    ]
    own += [Route(one.path, _Endpoint(one, access, pages), methods=[one.method]) for one in routes]

    async def not_there(request: Request, error: Any) -> Response:
        del request
        status = error.status_code if isinstance(error, HTTPException) else 404
        said = "This page takes another kind of request." if status == 405 else "There is no page at this address."
        return pages.page("trouble.html", status=status, here="", title="Not found", said=said, hint="Choose a page above.")

    # Around everything, so that the response to a failure has the headers, too.
    return _Guarded(Starlette(routes=own, exception_handlers={HTTPException: not_there}), access=access)


class _Guarded:
    """Adds the security headers to every response, and refuses requests under the name of another host."""

    def __init__(self, app: ASGIApp, *, access: Access):
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            self._access.check_host(Request(scope).headers.get("host", ""))
        except Refusal as refusal:
            said = f"{refusal.message} {refusal.hint}"
            await Response(said, 403, media_type="text/plain")(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


class _Endpoint:
    """Answers one route: it finds out who asks, reads a form, and has the page made in a thread."""

    def __init__(self, route: PageRoute, access: Access, pages: Pages):
        self._route, self._access, self._pages = route, access, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._response(request)
        response.headers.setdefault("cache-control", "no-store")
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        token = token_of(request)
        try:
            caller = await asyncio.to_thread(self._access.caller, token)
        except Refusal:
            there = urllib.parse.quote(f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path)
            return RedirectResponse(f"/sign-in?to={there}", 303)
        except QuickstudyError as error:  # the store cannot be read
            return self._trouble(503, str(error), "")
        try:
            caller.needs(self._route.scope)
            form = await _form(request) if self._route.method == "POST" else {}
            if self._route.method == "POST":
                self._access.check_form(form.get(FORM_KEY, ""), site=_site(request))
            query = urllib.parse.parse_qs(request.url.query, keep_blank_values=True)
            partial = request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in request.headers
            asked = Asked(caller=caller, token=token, path=request.url.path, query=query, form=form, partial=partial)
            return await asyncio.to_thread(self._route.answer, asked)
        except Refusal as refusal:
            return self._trouble(refusal.status, refusal.message, refusal.hint or "")
        except ServerError as error:
            return self._trouble(error.status or 502, str(error), "Nothing was changed.")
        except UsageError as error:
            return self._trouble(400, str(error), "")
        except QuickstudyError as error:
            return self._trouble(503, str(error), "")
        except Exception:
            _log.exception("the page %s failed", self._route.path)
            return self._trouble(500, "This page has failed. The log of the dashboard says why.", "")

    def _trouble(self, status: int, said: str, hint: str) -> Response:
        return self._pages.page("trouble.html", status=status, here="", title="This cannot be shown", said=said, hint=hint)


class _SignIn:
    """Takes a token and keeps it in a cookie that scripts cannot read."""

    def __init__(self, access: Access, pages: Pages):
        self._access, self._pages = access, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await (self._signed_in(request) if request.method == "POST" else self._asking(request))
        response.headers["cache-control"] = "no-store"
        await response(scope, receive, send)

    async def _asking(self, request: Request, *, status: int = 200, said: str = "") -> Response:
        to = _own_path(request.query_params.get("to", ""))
        return self._pages.page("sign_in.html", status=status, here="", title="Sign in", said=said, to=to)

    async def _signed_in(self, request: Request) -> Response:
        form = await _form(request)
        token = form.get("token", "").strip()
        try:
            self._access.check_form(form.get(FORM_KEY, ""), site=_site(request))
            await asyncio.to_thread(self._access.caller, token)
        except Refusal as refusal:
            said = refusal.message if refusal.kind == "forbidden" else "This is no token of this store."
            return await self._asking(request, status=refusal.status, said=said)
        response = RedirectResponse(_own_path(form.get("to", "")), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
        return response


class _SignOut:
    """Forgets the token."""

    def __init__(self, access: Access):
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, response = Request(scope, receive), cast(Response, RedirectResponse("/sign-in", 303))
        try:
            self._access.check_form((await _form(request)).get(FORM_KEY, ""), site=_site(request))
            response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        except Refusal as refusal:
            response = Response(f"{refusal.message} {refusal.hint}", refusal.status, media_type="text/plain")
        await response(scope, receive, send)


async def _to_runs(request: Request) -> Response:
    del request
    return RedirectResponse("/runs", 303)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; the last one of a name counts.

    Raises:
      Refusal: it is too large, or no text.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM_BYTES:
            raise Refusal("too_large", "the form is too large.", expected=f"at most {_MOST_FORM_BYTES} bytes")
    try:
        fields = urllib.parse.parse_qs(body.decode(), keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise Refusal("invalid", "the form cannot be read.", hint="Load the page again, and send it again.") from None
    return {name: values[-1] for name, values in fields.items()}


def _site(request: Request) -> str:
    return request.headers.get("sec-fetch-site", "")


def _own_path(path: str) -> str:
    """A path of this server to go to; the first page where it is the address of another one."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if plain else "/runs"
