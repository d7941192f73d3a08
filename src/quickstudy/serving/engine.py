"""The engine of the server, as its other threads see it: they send requests, wait for answers, and promote versions.

    requests ──> inbox ──> one thread: load, fold, decide ──> commits ──> one thread: write ──> answers
                                          └── fast decisions are answered here

What is behind the inbox is in `rounds.py`.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from quickstudy.serving.asked import Answer, asked_together
from quickstudy.serving.refusal import Refusal, cannot_store, stopping
from quickstudy.serving.requests import Look, Request, SessionName
from quickstudy.serving.rounds import Rounds
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.shelf import StoreShelf
from quickstudy.serving.stores.store import Store
from quickstudy.serving.versioned import VersionedSessions
from quickstudy.serving.versions import Versions


class Engine:
    """Serves the sessions of one agent from one store.

    Args:
      served: the agent.
      store: of its sessions.
      strict: answer decisions only when they are stored.
      most_waiting: requests that may wait; more are refused at once.
      most_sessions: of each tenant; None for no limit.
      most_live: sessions that are kept in memory.
      moves: what happens to sessions of other versions of the agent, as in `versions.MOVES`.
      versions: the agent and its other versions, in place of `served` alone and `moves`.
    """

    def __init__(
        self,
        served: ServedAgent,
        store: Store,
        *,
        strict: bool = False,
        most_waiting: int = 4096,
        most_sessions: int | None = None,
        most_live: int = 100_000,
        moves: str = "refuse",
        versions: Versions | None = None,
    ):
        self.versions, self.store = versions or Versions(served, moves=moves), store
        self._most_waiting = most_waiting
        self._shelf = StoreShelf(self.versions, store, most=most_live)
        self._sessions = VersionedSessions(self.versions, self._shelf, store)
        self._rounds = Rounds(store, self._shelf, self._sessions, strict=strict, most_sessions=most_sessions)
        self.waiting, self.draining, self.ready = 0, False, False
        self._count_lock = threading.Lock()

    def start(self) -> None:
        """Compiles, and begins to answer.

        Raises:
          StoreError: the store cannot be read or written.
        """
        self._sessions.prepare(self.versions.current, self.versions.shadow)
        self._rounds.start()
        self.ready = True

    @property
    def served(self) -> ServedAgent:
        """The version that new sessions begin with."""
        return self.versions.current

    def promote(self, served: ServedAgent, *, moves: str, shadow: ServedAgent | None = None) -> Future:
        """Makes a version the current one, between two rounds; nothing that waits is refused.

        Args:
          served: the version. It is compiled here, while the engine goes on.
          moves: as in `versions.MOVES`.
          shadow: as in `Versions`.
        Returns:
          Done when new sessions begin with this version.
        Raises:
          Refusal: the server starts or stops.
          UsageError: the shadow does not fit the version.
          StoreError: the store cannot be written.
        """
        self._sessions.prepare(served, shadow)
        return self.call(lambda shelf: self._sessions.promote(served, moves=moves, shadow=shadow))

    def stop(self) -> None:
        """Answers and stores the requests so far, and stops; later requests are refused."""
        self.draining = True
        self._rounds.stop()
        self.store.close()

    @property
    def trouble(self) -> str | None:
        """Why requests that change something are refused now; None if they are not."""
        error = self._rounds.error
        return None if error is None else str(error)

    @property
    def live(self) -> int:
        """Sessions in memory."""
        return len(self._shelf.live)

    def ask(self, requests: Sequence[Request], answer: Answer) -> None:
        """Has requests answered, together.

        Args:
          requests: at least one; those of one session are done in their order.
          answer: takes the answers.
        Raises:
          Refusal: all are refused before anything is decided: too much waits, the store fails, or the server stops.
        """
        self.admit(requests)

        def done(answers: list[Any]) -> None:
            self._count(-len(answers))
            answer(answers)

        self._count(len(requests))
        self._rounds.put(asked_together(requests, done))

    def _count(self, requests: int) -> None:
        with self._count_lock:
            self.waiting += requests

    def admit(self, requests: Sequence[Request]) -> None:
        """Raises `Refusal` if requests cannot be taken now."""
        self._refuse_unless_serving()
        if self.waiting >= self._most_waiting:
            raise Refusal("overloaded", f"{self.waiting} requests wait already.", hint="Send the request again in a second.")
        error = self._rounds.error
        if error is not None and not all(isinstance(request, Look) for request in requests):
            raise cannot_store(error)

    def _refuse_unless_serving(self) -> None:
        if self.draining:
            raise stopping()
        if not self.ready:
            raise Refusal("overloaded", "this server is starting.", hint="Send the request again in a few seconds.")

    def ask_and_wait(self, request: Request, *, timeout: float = 30.0) -> dict[str, Any]:
        """The answer, for callers in a thread of their own.

        Raises:
          Refusal: the request is refused.
        """
        future: Future = Future()
        self.ask([request], future.set_result)
        (answer,) = future.result(timeout)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def delete(self, name: SessionName) -> bool:
        """Deletes a session; within `call` only. False if there is none."""
        return self._rounds.delete(name)

    def call(self, function: Callable[[StoreShelf], Any]) -> Future:
        """Calls a function between two rounds, when everything so far is stored; its result is that of the future.

        Raises:
          Refusal: the server starts or stops.
        """
        self._refuse_unless_serving()
        future: Future = Future()
        self._rounds.put((function, future))
        return future
