"""What a sweep varies: settings by name, each with a list of values or a range.

cell=gru,linear                    values; a value with commas stands in brackets: hidden_sizes=[64,64],[128]
learning_rate=1e-4:1e-2            a range, both ends included
learning_rate=1e-4:1e-2:log        a range whose logarithm is drawn evenly
learning_rate=1e-4:1e-2:log:5      five values, evenly spread over the range
"""

import dataclasses
import json
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.setting_values import checked_value, plain_value, shown

Part = Literal["training", "algorithm", "distribution"]
PARTS: tuple[Part, ...] = ("training", "algorithm", "distribution")
MOST_VALUES = 1000
"""Values of one setting; more are a range."""
_HOW = "Write values as NAME=VALUE,VALUE, or a range as NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=LOW:HIGH:log:POINTS."


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweptSetting:
    """One setting that a sweep varies. It has values, or a range from `low` to `high`.

    Args:
      part: of a run that the setting belongs to.
      values: in their stored form; empty where there is a range.
      low: smallest number of the range.
      high: largest number of the range.
      log: the logarithm is drawn evenly, not the number.
      whole: numbers of the range are whole.
    """

    part: Part
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def is_range(self) -> bool:
        """Whether values are drawn from a range."""
        return not self.values

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1) of the list or of the range."""
        if self.values:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        low, high = self.ends
        if self.whole:  # every whole number has the same share of the range
            return min(int(high), max(int(low), round(self.number(place, low - 0.5, high + 0.5))))
        return min(high, max(low, float(f"{self.number(place, low, high):.6g}")))

    def number(self, place: float, low: float, high: float) -> float:
        """The number at a place in [0, 1] between two ends."""
        if self.log:
            return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        return low + place * (high - low)

    def place(self, value: float) -> float:
        """Where a number of the range stands in it, in [0, 1]; the inverse of `number`."""
        low, high = self.ends
        if self.log:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the range.

        Raises:
          ValueError: there is no range.
        """
        if self.low is None or self.high is None:
            raise ValueError("this setting has a list of values, and no range")
        return self.low, self.high


def read_over(texts: Iterable[str], kinds: Mapping[Part, Mapping[str, Any]]) -> dict[str, SweptSetting]:
    """The settings of a sweep from texts such as `cell=gru,linear`.

    Args:
      texts: one for each setting.
      kinds: annotations of all settings, by part and name.
    Raises:
      UnknownNameError: no setting of that name.
      UsageError: a text that is none, a value that the setting cannot have, or a setting that is named twice.
    """
    found: dict[str, SweptSetting] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not equals or not name:
            raise UsageError(f"--over {shown(text)} names no values. {_HOW}")
        if name in found:
            raise UsageError(f"--over names {name} twice. Give all its values at once. {_HOW}")
        found[name] = swept_setting(name, rest, kinds)
    if not found:
        raise UsageError(f"a sweep needs a setting to vary: give --over once or more. {_HOW}")
    return found


def swept_setting(name: str, over: Any, kinds: Mapping[Part, Mapping[str, Any]]) -> SweptSetting:
    """One setting of a sweep.

    Args:
      name: of the setting.
      over: a text as on the command line, or a list of values.
      kinds: as of `read_over`.
    Raises:
      UnknownNameError, UsageError: as of `read_over`.
    """
    part = next((part for part in PARTS if name in kinds.get(part, {})), None)
    if part is None:
        raise UnknownNameError("setting to vary,", name, [one for known in kinds.values() for one in known])
    kind = kinds[part][name]
    if not isinstance(over, str):
        if not isinstance(over, Sequence) or not over:
            raise UsageError(f"{name} must have a list of values or a text such as 'LOW:HIGH'; came {shown(over)}.")
        return _of_values(name, part, [checked_value(name, kind, value) for value in over])
    if ":" in over and not over.lstrip().startswith("[") and _takes_numbers(kind):
        return _of_range(name, part, kind, over)
    return _of_values(name, part, [_value(name, kind, word) for word in _words(over)])


def _of_values(name: str, part: Part, values: Sequence[Any]) -> SweptSetting:
    plain = list({json.dumps(one): one for one in (as_stored(name, value) for value in values)}.values())
    if len(plain) < 2:
        flag = f"--{name.replace('_', '-')}"
        raise UsageError(f"{name} has one value, {shown(plain[0])}, so there is nothing to vary. Set it with {flag}.")
    if len(plain) > MOST_VALUES:
        raise UsageError(f"{name} has {len(plain):,} values; at most {MOST_VALUES:,} are allowed. Give a range, LOW:HIGH.")
    return SweptSetting(part=part, values=tuple(plain))


def as_stored(name: str, value: Any) -> Any:
    """A value as it comes back from a JSON file.

    Args:
      name: of the setting.
      value: of it.
    Raises:
      UsageError: it cannot be stored.
    """
    return json.loads(json.dumps(plain_value(name, value)))


def _of_range(name: str, part: Part, kind: Any, text: str) -> SweptSetting:
    low_text, high_text, *more = (word.strip() for word in text.split(":"))
    log = bool(more) and more[0] == "log"
    more = more[1:] if more and more[0] in ("log", "linear") else more
    if len(more) > 1 or not all(re.fullmatch("[0-9]{1,4}", one) for one in more):
        raise UsageError(f"{name}={shown(text)} is no range. {_HOW}")
    low, high = (_value(name, kind, word) for word in (low_text, high_text))
    if isinstance(low, bool) or not all(isinstance(end, int | float) for end in (low, high)) or not low < high:
        raise UsageError(f"{name}: the low end of a range must be a number below its high end; came {shown(text)}.")
    if log and low <= 0:
        raise UsageError(f"{name}: a range with :log must begin above zero; came {shown(low)}. Leave :log out.")
    whole = isinstance(low, int) and isinstance(high, int) and _is_whole(kind)
    spread = SweptSetting(part=part, low=low, high=high, log=log, whole=whole)
    if not more:
        return spread
    if not 2 <= int(more[0]) <= MOST_VALUES:
        raise UsageError(f"{name}: the points of a range must be 2 to {MOST_VALUES:,}; came {more[0]}.")
    inner = [spread.number(float(place), low, high) for place in np.linspace(0, 1, int(more[0]))[1:-1]]
    numbers = [low, *(round(one) if whole else float(f"{one:.6g}") for one in inner), high]
    return _of_values(name, part, [checked_value(name, kind, one) for one in numbers])


def _value(name: str, kind: Any, word: str) -> Any:
    """A value from its text: what JSON makes of it where the setting allows that, else the text itself.

    Args:
      name: of the setting.
      kind: its annotation.
      word: the text.
    Raises:
      UsageError: the setting cannot have it.
    """
    read: list[Any] = [None] if word in ("None", "none") else []
    with suppress(ValueError, RecursionError):  # no JSON, or too many digits
        read.append(json.loads(word.lower() if word in ("True", "False") else word))
    if word not in map(str, read):
        read.append(word)
    for one in read[:-1]:
        try:
            return checked_value(name, kind, one)
        except UsageError:
            continue
    try:
        return checked_value(name, kind, read[-1])
    except UsageError:
        if len(read) == 1:
            raise
        return checked_value(name, kind, read[0])  # its message names what came as what it is


def _words(text: str) -> list[str]:
    """The parts of a text between commas that stand in no brackets."""
    words, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth <= 0:
            words.append("")
        else:
            words[-1] += letter
    return [word.strip() for word in words]


def _takes_numbers(kind: Any) -> bool:
    """Whether a setting may be a number of a range."""
    return bool(_types(kind) & {int, float, Any})


def _is_whole(kind: Any) -> bool:
    """Whether a setting has whole numbers only."""
    return not _types(kind) & {float, Any}


def _types(kind: Any) -> set[Any]:
    """The types that an annotation names, without what is around them."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        return set().union(*map(_types, get_args(kind)))
    return {kind}
