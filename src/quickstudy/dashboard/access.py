"""Who may see the dashboard. Without tokens it is this machine alone; with tokens, whoever signs in with one.

A browser sends its cookies and reaches the loopback address whatever page asks it to. So a request must name this server as its
host, and a form must hold a key that only pages of this server know.
"""

import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.requests import Request

from quickstudy.serving.http.tokens import EVERYBODY, Caller, Tokens
from quickstudy.serving.refusal import Refusal

COOKIE = "quickstudy_token"
FORM_KEY = "form_key"


class Access:
    """Decides who a request comes from.

    Args:
      tokens: of the store; None where there is no store, and so no token.
      loopback: whether only this machine reaches the dashboard, so that it may do without tokens.
    """

    def __init__(self, tokens: Tokens | None, *, loopback: bool = True):
        self._tokens, self._loopback = tokens, loopback
        self.form_key = secrets.token_urlsafe(24)

    @property
    def needs_token(self) -> bool:
        """Whether there are tokens, so that one is needed."""
        return not self._loopback or (self._tokens is not None and self._tokens.used)

    def caller(self, token: str | None) -> Caller:
        """Who asks with this token.

        Raises:
          Refusal: a token is needed, and this is none of them.
        """
        if self._tokens is not None:
            self._tokens.refresh()
        if self._tokens is None or not self._tokens.used:
            if self.needs_token:  # the last token was removed meanwhile
                raise Refusal("unauthorised", "this dashboard needs a token, and there is none.", hint="Add one.")
            return EVERYBODY
        return self._tokens.caller(None if token is None else f"Bearer {token}")

    def check_host(self, host: str) -> None:
        """Raises `Refusal` where no token protects the dashboard and a page of another site asked under a name of its own.

        Args:
          host: of the request, as its header says.
        """
        if not self.needs_token and not _is_loopback(host):
            raise Refusal(
                "forbidden",
                f"this dashboard answers on this machine only; it was asked for as {host!r:.80}.",
                hint="Open it as http://127.0.0.1, or set up tokens: quickstudy token add STORE TENANT.",
            )

    def check_form(self, key: str, *, site: str = "") -> None:
        """Raises `Refusal` unless a form came from a page of this server.

        Args:
          key: that the form holds.
          site: where the browser says that it comes from (`Sec-Fetch-Site`); empty where it says nothing.
        """
        if site not in ("", "same-origin", "none"):
            raise Refusal("forbidden", "this form came from another site.", hint="Use the pages of the dashboard itself.")
        if not hmac.compare_digest(key.encode(), self.form_key.encode()):
            raise Refusal("forbidden", "this form is out of date.", hint="Go back, load the page again, and send it again.")


def token_of(request: Request) -> str | None:
    """The token of a request: that of its cookie, or of its header; None where it has none."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return text.strip()
    try:
        cookies = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
