"""Requests in progress, with the callers that wait for their answers."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from quickstudy.serving.requests import Request

Answer = Callable[[list[Any]], None]
"""Takes the answers to requests in their order, each of them an answer or a `Refusal`; called from another thread, once."""


class Together:
    """Requests that were sent together and are answered together. Their answers come from several threads.

    Args:
      count: how many there are.
      done: takes the answers when all of them are there.
    """

    __slots__ = ("_answers", "_done", "_left", "_lock")

    def __init__(self, count: int, done: Answer):
        self._answers: list[Any] = [None] * count
        self._done, self._left, self._lock = done, count, threading.Lock()

    def take(self, place: int, answer: Any) -> None:
        """Takes the answer to one of the requests."""
        self._answers[place] = answer
        with self._lock:
            self._left -= 1
            finished = self._left == 0
        if finished:
            self._done(self._answers)


class Asked:
    """A request in progress."""

    __slots__ = ("_place", "_together", "request", "tries")

    def __init__(self, request: Request, together: Together, place: int):
        self.request, self.tries = request, 0
        self._together, self._place = together, place

    def give(self, answer: Any) -> None:
        """Gives its answer; once."""
        self._together.take(self._place, answer)


def asked_together(requests: Sequence[Request], done: Answer) -> list[Asked]:
    """Requests in progress, from requests; at least one."""
    together = Together(len(requests), done)
    return [Asked(request, together, place) for place, request in enumerate(requests)]
