"""The description of a run, `run.json`: written with a digest, and compared with what is asked for when the run goes on."""

import hashlib
import json
import logging
import math
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.reading import DESCRIPTION, read_json

_FORMAT = 1
_PARTS = ("algorithm", "distribution", "training")
_FREE = ("evaluation_seconds", "checkpoint_seconds", "held_out_tasks")
"""How often to evaluate or to save may change: training does not depend on it."""
_TOLERANCE = 1e-3

_log = logging.getLogger("quickstudy")
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 80


def description_text(description: dict[str, Any]) -> str:
    """The content of `run.json`: the description, the version of its format, and a digest of both."""
    content = {**description, "format": _FORMAT}
    return json.dumps(content | {"digest": _digest(content)}, indent=2, ensure_ascii=False) + "\n"


def read_description(folder: str | Path) -> dict[str, Any]:
    """The description of the run in a folder, without its format and its digest.

    Raises:
      UsageError: `run.json` is missing, or not as it was written.
    """
    path = Path(folder) / "run.json"
    data = read_json(path, what="description of the run", limit=DESCRIPTION, finite=False)
    digest = data.pop("digest", None)
    by_earlier_version = digest is None and "format" not in data
    if not by_earlier_version and digest != _digest(data):
        raise UsageError(f"{path} is damaged or was changed: it does not agree with its digest.")
    return {name: value for name, value in data.items() if name != "format"}


def check_same_run(stored: dict[str, Any], asked: dict[str, Any], *, longer: bool = False) -> None:
    """Refuses to go on with a run under another configuration or on other tasks.

    Other versions, another machine, and changed files of the user are only named in the log: they need not change the run.

    Args:
      stored: the description of the run.
      asked: the description of what is asked for now.
      longer: the budget may be another one, since it is longer.
    Raises:
      UsageError: names what differs.
    """
    asked = json.loads(json.dumps(asked))  # as it would have been stored: tuples are lists there
    missing = [part for part in _PARTS if not isinstance(stored.get(part), dict)]
    if missing:
        raise UsageError(f"the description of the run to resume, run.json, lacks {', '.join(missing)}. Start a new run.")
    free = (*_FREE, "budget") if longer else _FREE
    differing = [each for part in _PARTS for each in _differences(_flat(stored[part]), _flat(asked[part]), free=free)]
    began = [{"begins_with": given.get("begins_with")} for given in (stored, asked)]  # earlier versions had none
    differing += _differences(*began)
    if "spec" in stored:
        differing += _differences(stored["spec"], asked["spec"])
    if differing:
        raise UsageError(
            f"the run to resume has another configuration: {'; '.join(differing)}. Give the same, or start a new run."
        )
    tasks = list(_other_tasks(stored.get("tasks", {}), asked.get("tasks", {})))
    if tasks:
        raise UsageError(
            f"the tasks are not those that the run was started with: {'; '.join(tasks)}. Restore them, or start a new run."
        )
    _say_what_else_differs(stored, asked)


def _differences(before: dict[str, Any], now: dict[str, Any], *, free: tuple[str, ...] = ()) -> list[str]:
    named = (name for name in before | now if before.get(name) != now.get(name) and name not in free)
    return [f"{name} was {_shown.repr(before.get(name))}, now {_shown.repr(now.get(name))}" for name in named]


def _other_tasks(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What differs between tasks that were drawn from one key, in words; nothing where a run has no record of them."""
    for name in before | now if before and now else ():
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            yield f"{name} {'is new' if old is None else 'is gone'}"
        elif (old["type"], old["shape"]) != (new["type"], new["shape"]):
            yield f"{name} was {old['type']}{old['shape']}, now {new['type']}{new['shape']}"
        else:
            # Another machine may round otherwise.
            pairs = zip(old["values"], new["values"], strict=False)
            other = next((pair for pair in pairs if not _are_close(*pair)), None)
            if other is not None:
                yield f"{name} of a task was {other[0]}, now {other[1]}"


def _are_close(one: Any, other: Any) -> bool:
    if not isinstance(one, float) or not isinstance(other, float):
        return one == other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))


def _say_what_else_differs(stored: dict[str, Any], asked: dict[str, Any]) -> None:
    before, now = stored.get("files", {}), asked.get("files", {})
    changed = [name for name in before if name in now and before[name] != now[name]]
    if changed:
        _log.warning(
            "%s changed since the run was started. The settings, the lengths and the drawn tasks are the same, so the run goes "
            "on. If rewards or dynamics are other ones now, start a new run.",
            ", ".join(changed),
        )
    other = _differences(_common(stored, asked, "versions"), _common(asked, stored, "versions"))
    other += _differences(_common(stored, asked, "machine"), _common(asked, stored, "machine"), free=("cores",))
    if other:
        _log.warning(
            "The run was started elsewhere, so it agrees with an uninterrupted run only up to rounding: %s.", "; ".join(other)
        )


def _common(one: dict[str, Any], other: dict[str, Any], part: str) -> dict[str, Any]:
    """The entries of a part that both have."""
    return {name: value for name, value in one.get(part, {}).items() if name in other.get(part, {})}


def _digest(description: dict[str, Any]) -> str:
    stored = json.loads(json.dumps(description))
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: v for key, value in tree.items() for k, v in (value.items() if isinstance(value, dict) else [(key, value)])}
