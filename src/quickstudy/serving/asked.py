"""Requests under way, with those who wait for their answers."""

from collections.abc import Callable
from typing import Any

from quickstudy.serving.requests import Request

Answer = Callable[[Any], None]
"""Takes an answer or a `Refusal`; called from another thread, once."""


class Asked:
    """A request under way."""

    __slots__ = ("answer", "request", "tries")

    def __init__(self, request: Request, answer: Answer):
        self.request, self.answer, self.tries = request, answer, 0
