"""The work of an engine, in turns: a tenant with many requests does not delay the others."""

import queue
from collections import deque
from collections.abc import Callable
from typing import Any

from quickstudy.serving.asked import Asked

_NOTHING: Any = object()


class Inbox:
    """Takes items from any thread, and gives them to one.

    There are three kinds of items. Lists of requests of one tenant are given in rounds, in which each tenant has an equal
    share. A function is given at once. Everything else is given when all requests that came before it were given.

    Args:
      most: requests of a round.
    """

    def __init__(self, most: int):
        self._most = most
        self._came: queue.SimpleQueue = queue.SimpleQueue()
        self._tenants: dict[str, deque[Asked]] = {}
        self._after: Any = _NOTHING

    def put(self, item: Any) -> None:
        """Takes an item."""
        self._came.put(item)

    def next(self) -> list[Asked] | Callable[[], None] | Any:
        """Waits for something to do: a round of requests, a function, or another item."""
        while self._after is _NOTHING:
            try:
                item = self._came.get(block=not self._tenants)
            except queue.Empty:
                break
            if isinstance(item, list):
                self._tenants.setdefault(item[0].request.name.tenant, deque()).extend(item)
            elif callable(item):
                return item
            else:
                self._after = item
        if self._tenants:
            return self._round()
        item, self._after = self._after, _NOTHING
        return item

    def rest(self, *, waits: bool) -> Any:
        """The next item as it came.

        Args:
          waits: for one to come.
        Raises:
          queue.Empty: there is none.
        """
        return self._came.get(block=waits)

    def _round(self) -> list[Asked]:
        share, asked = max(1, self._most // len(self._tenants)), list[Asked]()
        for tenant in list(self._tenants)[: self._most]:
            waiting = self._tenants.pop(tenant)
            asked += [waiting.popleft() for _ in range(min(share, len(waiting)))]
            if waiting:
                self._tenants[tenant] = waiting  # behind the others
        return asked
