"""What a page is asked for, apart from HTTP, and the routes that a part of the dashboard has."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from starlette.responses import Response

from quickstudy.protocol.errors import UsageError
from quickstudy.serving.http.tokens import Caller


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """One request for a page.

    Args:
      caller: who asks.
      token: with which the caller signed in; None where no tokens are used.
      path: of the page.
      query: what follows the question mark, by name; several values of one name are kept in order.
      form: the fields of a form that was sent.
      partial: only the changing part of the page is wanted, because a script puts it into the page that is there.
    """

    caller: Caller
    token: str | None
    path: str
    query: Mapping[str, Sequence[str]]
    form: Mapping[str, str] = dataclasses.field(default_factory=dict)
    partial: bool = False

    def one(self, name: str, default: str = "") -> str:
        """The last value of a name in the query."""
        values = self.query.get(name)
        return values[-1].strip() if values else default

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number in the query.

        Raises:
          UsageError: it is none, or out of its range.
        """
        text = self.one(name)
        if not text:
            return default
        digits = text.isascii() and text.isdigit() and len(text) < 10
        if not digits or not least <= int(text) <= most:
            raise UsageError(f"{name} must be a whole number from {least} to {most}; came {text:.40}. Correct the address.")
        return int(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageRoute:
    """A path, and the function that answers there.

    Args:
      path: of the page.
      answer: gives the response; it runs in a thread and may wait for disks.
      scope: that a token needs.
      method: of the request.
    """

    path: str
    answer: Callable[[Asked], Response]
    scope: Literal["read", "admin"] = "read"
    method: Literal["GET", "POST"] = "GET"
