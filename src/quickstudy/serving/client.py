"""A client of a server of sessions. It needs the standard library only, so this file may be copied into another program.

A request without an answer, or to a busy server, is sent again. A decision then has the same `decision_id`, and a reward names
its decision, so no request takes effect twice.
"""

import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_AGAIN = (429, 503)
_LONGEST_PAUSE_SECONDS = 5.0


class ServerError(Exception):
    """A request was refused, or the server could not be reached.

    Args:
      message: what was wrong, and what to do next.
      status: of the answer; None where there was none.
      problem: the answer of the server, as in the table of refusals.
    """

    def __init__(self, message: str, *, status: int | None = None, problem: dict[str, Any] | None = None):
        super().__init__(message)
        self.status, self.problem = status, problem or {}


class Client:
    """Asks one server, or several behind one address. Threads may share it.

    Args:
      url: of the server.
      token: of the tenant; None where the server needs none.
      timeout_seconds: how long one answer may take.
      tries: how often a request is sent at most.
    Example:
      >>> client = Client("http://127.0.0.1:8080")
      >>> decision = client.act("customer-1", 0)
      >>> client.reward("customer-1", decision["decision_id"], 1.0)["applied"]
      True
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, token: str | None = None, timeout_seconds: float = 10.0, tries: int = 6
    ):
        self._url, self._token, self._timeout, self._tries = url.rstrip("/"), token, timeout_seconds, max(1, tries)

    def act(
        self, session: str, observation: Any, *, decision_id: str | None = None, new_episode: bool = False
    ) -> dict[str, Any]:
        """A decision: `action`, `propensity`, `decision_id`, and more.

        Args:
          session: of the customer, product or device; it is opened by its first decision.
          observation: an element of the agent's observation space.
          decision_id: of your own, such as the number of a visit; made here if not given.
          new_episode: begin an episode, where the last reward is still open.
        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        body = {"observation": observation, "decision_id": decision_id or secrets.token_hex(12), "new_episode": new_episode}
        return self._ask("POST", session, "act", body)

    def reward(self, session: str, decision_id: str, reward: float, **more: Any) -> dict[str, Any]:
        """Says what followed a decision; `applied` and `reason` of the answer say what it did.

        Args:
          session: of the decision.
          decision_id: of the decision.
          reward: a finite number.
          more: `observation`, `terminated`, `truncated`, `reward_id`, as the server takes them.
        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        return self._ask("POST", session, "reward", {"decision_id": decision_id, "reward": reward} | more)

    def state(self, session: str) -> dict[str, Any]:
        """The state of a session.

        Raises:
          ServerError: there is none, or the server cannot be reached.
        """
        return self._ask("GET", session)

    def freeze(self, session: str) -> dict[str, Any]:
        """Lets a session act without adapting; gives its state. This and what follows needs a token of scope admin.

        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        return self._ask("POST", session, "freeze", {})

    def thaw(self, session: str) -> dict[str, Any]:
        """Lets a frozen session adapt again; gives its state.

        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        return self._ask("POST", session, "thaw", {})

    def rollback(self, session: str, *, events: int) -> dict[str, Any]:
        """Makes a session as it was after its first events, at least 1; gives its state.

        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        return self._ask("POST", session, "rollback", {"events": events})

    def fork(self, session: str, *, name: str, events: int | None = None) -> dict[str, Any]:
        """Opens another session with the same past; gives its state.

        Args:
          session: that is copied.
          name: of the new session.
          events: of the session that the new one begins with, from the first on; all if not given.
        Raises:
          ServerError: it is refused, or the server cannot be reached.
        """
        return self._ask("POST", session, "fork", {"session": name} | ({} if events is None else {"events": events}))

    def _ask(self, method: str, session: str, verb: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = "/v1/sessions/" + urllib.parse.quote(session, safe="") + (f"/{verb}" if verb else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        for tried in range(1, self._tries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                refused = _refused(error)
                if error.code not in _AGAIN or tried == self._tries:
                    raise refused from None
            except OSError as error:  # no connection, or one that was cut off
                if tried == self._tries:
                    raise ServerError(f"{self._url} cannot be reached: {error}. Is it the address of the server?") from error
            time.sleep(min(_LONGEST_PAUSE_SECONDS, 0.1 * 2**tried))
        raise AssertionError  # the last try has ended above


def _refused(error: urllib.error.HTTPError) -> ServerError:
    try:
        problem = json.loads(error.read())
    except (ValueError, OSError):  # a proxy has answered in its own words
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    said = [problem.get("detail") or f"the server answered with status {error.code}."]
    said += [f"{what.capitalize()}: {problem[what]}." for what in ("field", "expected", "got") if problem.get(what)]
    return ServerError(" ".join([*said, problem.get("hint") or ""]).strip(), status=error.code, problem=problem)
