"""The head of an agent's card: the metadata that the Hugging Face Hub reads, as YAML between two lines of dashes.

The fields of `model-index` are those of the Hub: `task`, `dataset` and `metrics`, with `args` for the interval. Every text is
in double quotes, which YAML reads as JSON does, and every number with a fraction has a point, which YAML 1.1 needs.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quickstudy.evaluation.agent_record import AgentRecord
from quickstudy.evaluation.measured_agent import MeasuredResult
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.printable import printable
from quickstudy.reports.markdown import setting
from quickstudy.storage.plain import to_plain

LIBRARY = "quickstudy"
INTERVAL = "95 % bootstrap"
_PLAIN_KEY = re.compile(r"[a-z][a-z_-]{2,}")
_WORDS = frozenset({"null", "true", "false", "yes", "off"})
_NOT_OF_TAGS = re.compile(r"[^a-z0-9]+")


def metadata(record: AgentRecord) -> dict[str, Any]:
    """The metadata as plain data; every number is one that was stored.

    Args:
      record: of the agent.
    """
    own = (record.card["algorithm"]["name"], record.card["distribution"]["name"])
    tags = dict.fromkeys(("meta-reinforcement-learning", "reinforcement-learning", *map(_tag, own)))
    return {
        "library_name": LIBRARY,
        "pipeline_tag": "reinforcement-learning",
        "tags": [tag for tag in tags if tag],
        "model-index": [{"name": printable(record.name), "results": [_result(one) for one in record.results]}],
    }


def front_matter(data: Mapping[str, Any]) -> str:
    """Plain data as YAML between two lines of dashes.

    Args:
      data: mappings, lists, text, numbers, truth values and None.
    """
    return "\n".join(["---", *_block(data, 0), "---"])


def _result(one: MeasuredResult) -> dict[str, Any]:
    named = "return of a lifetime" if one.measure != "regret" else "regret of a lifetime"
    metrics = [_metric(one.measure.replace(" ", "_"), f"mean {named}", one.value, one)]
    for other in one.opponents:
        if other.difference is not None:
            said = f"mean {named}, minus that of {printable(other.name)}"
            extra = {"baseline": printable(other.name), "baseline_value": other.value.value, "outcome": other.outcome}
            metrics.append(_metric("difference", said, other.difference, one) | {"config": printable(other.name)})
            metrics[-1]["args"] |= extra
    return {
        "task": {"type": "reinforcement-learning", "name": "meta-reinforcement learning"},
        "dataset": {
            "name": f"{printable(one.distribution)} ({printable(one.split)})",
            "type": printable(one.distribution),
            "config": printable(", ".join(f"{name} {setting(value)}" for name, value in one.settings.items())),
            "split": printable(one.split),
            "revision": printable(one.task_hash),
            "args": to_plain(dict(one.settings)),
        },
        "metrics": metrics,
    }


def _metric(kind: str, name: str, estimate: Estimate, one: MeasuredResult) -> dict[str, Any]:
    args: dict[str, Any] = {"interval": INTERVAL, "low": estimate.low, "high": estimate.high, "tasks": one.tasks}
    if one.seeds is not None:
        args["training_seeds"] = one.seeds
    return {"type": kind, "name": name, "value": estimate.value, "args": args}


def _tag(name: str) -> str:
    return _NOT_OF_TAGS.sub("-", name.lower()).strip("-")[:60]


def _block(data: Any, depth: int) -> Iterator[str]:
    """Lines of a mapping or of a list, both of which are not empty."""
    space = "  " * depth
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _entry(f"{space}{_key(str(key))}:", value, depth + 1)
        return
    for value in data:
        if isinstance(value, Mapping) and value:
            first, *others = _block(value, depth + 1)
            yield f"{space}- {first.lstrip()}"
            yield from others
        else:
            yield from _entry(f"{space}-", value, depth + 1)


def _entry(head: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
        if value:
            yield head
            yield from _block(value, depth)
        else:
            yield f"{head} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{head} {_scalar(value)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key not in _WORDS else _text(key)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        point = "" if "." in mantissa else ".0"
        sign = "+" if exponent and power[0] not in "+-" else ""
        return f"{mantissa}{point}{exponent}{sign}{power}"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    return json.dumps(printable(value), ensure_ascii=False)
