"""Bundles of strangers: a good one, changed at every place of its card, of its header and of its files.

Each case is a function of a folder that holds a copy of the good bundle. All of `CARDS`, `FILES` and `ENDLESS` must be refused.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Change = Callable[[Path], None]

CARD, PARAMETERS = "bundle.json", "parameters.safetensors"
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "text": "text",
    "empty text": "",
    "list": [1, "a", None],
    "deep list": [[[[[1]]]]],
    "object": {"a": {"b": 1}},
    "negative": -1,
    "zero": 0,
    "half": 0.5,
    "huge": 2**62,
    "large": 10**7,
}
"""Put in the place of every value of a card."""
NOTES = ("results", "command", "versions")
"""Parts of a card that loading does not use. They may hold what their types allow."""
RAW = {"NaN": "NaN", "Infinity": "-Infinity", "400 digits": "9" * 400, "1e999": "1e999", "5000 digits": "1" * 5000}
"""Numbers that JSON, or a computer, does not have."""


def read(folder: Path) -> dict[str, Any]:
    """The card."""
    return json.loads((folder / CARD).read_text(encoding="utf-8"))


def write(folder: Path, card: Any) -> None:
    """Another card."""
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def places(tree: Any, at: tuple = ()) -> Iterator[tuple]:
    """The path of every value of plain data."""
    if at:
        yield at
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def put(tree: Any, at: tuple, value: Any) -> Any:
    """Plain data with another value at a place."""
    made = copy.deepcopy(tree)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return made


def without(tree: Any, at: tuple) -> Any:
    """Plain data without what is at a place."""
    made = copy.deepcopy(tree)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    del inner[at[-1]]
    return made


def mutated_cards(card: dict[str, Any]) -> Iterator[tuple[str, tuple, Any]]:
    """Name, place and content of every changed card."""
    for at in places(card):
        where = ".".join(map(str, at))
        for name, value in VALUES.items():
            yield f"{where} is {name}", at, put(card, at, value)
        yield f"{where} is missing", at, without(card, at)


def raw_cards(card: dict[str, Any]) -> dict[str, str]:
    """Cards as text, with numbers that JSON does not have."""
    found = {}
    for at in (("spec", "horizon"), ("algorithm", "config", "learning_rate"), ("results", "test", "tasks"), ("note",)):
        marked = json.dumps(put(card, at, "MARK"))
        for name, text in RAW.items():
            found[f"{'.'.join(at)} is {name}"] = marked.replace('"MARK"', text)
    return found


def card_is(text: str | bytes) -> Change:
    """The card is this text."""
    return lambda folder: (folder / CARD).write_bytes(text if isinstance(text, bytes) else text.encode()) and None


def card_with(at: tuple, value: Any) -> Change:
    """The card has another value at a place."""
    return lambda folder: write(folder, put(read(folder), at, value))


def parameters_are(content: bytes) -> Change:
    """The file of parameters is this, and the card has its digest."""

    def change(folder: Path) -> None:
        (folder / PARAMETERS).write_bytes(content)
        write(folder, put(read(folder), ("parameters_sha256",), hashlib.sha256(content).hexdigest()))

    return change


def split(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Header and numbers of the file of parameters."""
    content = (folder / PARAMETERS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, numbers: bytes) -> bytes:
    """A file of parameters."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def with_header(alter: Callable[[dict[str, Any]], Any], *, more: bytes = b"") -> Change:
    """The header of the parameters is changed, and the card has the digest."""

    def change(folder: Path) -> None:
        header, numbers = split(folder)
        altered = alter(header)
        parameters_are(joined(header if altered is None else altered, numbers + more))(folder)

    return change


def replaced(file: str, make: Callable[[Path], Any]) -> Change:
    """A file is something else."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return change


def sparse(size: int) -> Callable[[Path], None]:
    """A file that has a size and no content."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def looping(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


def box(count: int, **other: Any) -> dict[str, Any]:
    """The description of a Box."""
    return {"kind": "Box", "shape": [count], "dtype": "float32", "low": ["-1"] * count, "high": ["1"] * count} | other


def first(header: dict[str, Any]) -> str:
    """The name of an array."""
    return next(name for name in header if name != "__metadata__")


def entry_with(**fields: Any) -> Change:
    """An array's entry in the header has other fields."""
    return with_header(lambda header: header[first(header)].update(fields))


def larger_bundle(seeds: int) -> Change:
    """A file that is right but for its numbers, which are not there: as many seeds as it claims."""

    def change(folder: Path) -> None:
        header, _ = split(folder)
        begin = 0
        for name, entry in header.items():
            if name != "__metadata__":
                size = seeds * (entry["data_offsets"][1] - entry["data_offsets"][0]) // entry["shape"][0]
                entry.update(shape=[seeds, *entry["shape"][1:]], data_offsets=[begin, begin + size])
                begin += size
        start = joined(header, b"")
        (folder / PARAMETERS).write_bytes(start)
        os.truncate(folder / PARAMETERS, len(start) + begin)

    return change


SPACES: dict[str, Any] = {
    "a type of 1.5 GB": box(1, dtype="V1500000000"),
    "objects": box(1, dtype="O"),
    "a type that is text": box(1, dtype="U1000000"),
    "complex numbers": box(1, dtype="complex64"),
    "records": box(1, dtype="i4,i4"),
    "times": box(1, dtype="M8[s]"),
    "2^40 elements": box(1, shape=[2**40]),
    "2^70 elements": box(1, shape=[2**35, 2**35]),
    "no elements": box(0),
    "elements of size zero": box(1, shape=[2**40, 0]),
    "negative length": box(1, shape=[-1]),
    "a thousand axes": box(1, shape=[1] * 1000),
    "text as shape": box(1, shape="1"),
    "bounds that are no numbers": box(1, low=["one"]),
    "bounds that are NaN": box(1, low=["nan"]),
    "bounds the wrong way round": box(1, low=["2"], high=["1"]),
    "fewer bounds than elements": box(2, low=["1"]),
    "bounds that are lists": box(1, low=[["1"]]),
    "bounds beyond bytes": box(1, dtype="uint8", low=["-1"], high=["256"]),
    "infinite bytes": box(1, dtype="uint8", low=["0"], high=["inf"]),
    "bounds beyond 16 bits": box(1, dtype="float16", low=["-1e300"], high=["1e300"]),
    "a null character": box(1, low=["1\x00"]),
    "another kind": {"kind": "Graph", "n": 1},
    "no kind": {"n": 1},
    "a kind that is a list": {"kind": ["Box"]},
    "kind Dict": {"kind": "Dict", "spaces": {}},
    "2^40 ids": {"kind": "Discrete", "n": 2**40, "start": 0},
    "0 ids": {"kind": "Discrete", "n": 0, "start": 0},
    "a start beyond 64 bits": {"kind": "Discrete", "n": 2, "start": 2**63},
    "a cell of 2^40 ids": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": [2**40], "start": [0]},
    "cells of different length": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": [[1], [1, 2]], "start": [[0], [0, 0]]},
    "no cells": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": [], "start": []},
    "cells without ids": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": [0], "start": [0]},
    "starts of another shape": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": [2, 2], "start": [0]},
    "cells nested 40 deep": {"kind": "MultiDiscrete", "dtype": "int64", "nvec": json.loads("[" * 40 + "]" * 40), "start": [0]},
    "symbols of real numbers": {"kind": "MultiDiscrete", "dtype": "float32", "nvec": [2.5], "start": [0]},
}
SETTINGS: dict[str, tuple[str, Any]] = {
    "a network of terabytes": ("hidden_size", 2**20),
    "a network beyond all limits": ("hidden_size", 10**9),
    "a size that is text": ("hidden_size", "64"),
    "a size that is a fraction": ("hidden_size", 63.5),
    "a size that is a list": ("hidden_size", [64]),
    "a cell that there is not": ("cell", "transformer"),
    "a cell that is a list": ("cell", ["gru"]),
    "a hundred thousand convolutions": ("image_channels", [1] * 100000),
    "a rate that is text": ("learning_rate", "fast"),
    "a number that is true": ("lifetimes", True),
    "a million layers": ("attention_layers", 2**20),
    "a setting that is not known": ("no_such_setting", 1),
    "a record in the place of settings": ("network", {"hidden_size": 3}),
}
NAMES = {
    "escapes": "rl2\x1b]0;owned\x07\x1b[2J",
    "a file": "/tmp/evil.py:make",
    "a module": "os:system",
    "markup": "[red]rl2[/]",
    "a long name": "x" * 100000,
    "lines": "rl2\nquickstudy: all is well",
    "an order of letters": "rl2\u202egnihtyna",
    "a surrogate": "rl2\ud800",
    "a null character": "rl2\x00",
}

CARDS: dict[str, Change] = {
    "no card": lambda folder: (folder / CARD).unlink(),
    "an empty card": card_is(""),
    "a card that is a list": card_is("[]"),
    "a card that is a number": card_is("1"),
    "a card that is cut off": card_is('{"format": 1, "algorithm": {'),
    "a card nested 100 000 deep": card_is("[" * 100_000),
    "a card of objects nested 5 000 deep": card_is('{"a":' * 5000 + "1" + "}" * 5000),
    "a card that is not UTF-8": card_is(b'{"format": 1, "name": "\xff"}'),
    "a card in UTF-16": lambda folder: card_is((folder / CARD).read_text().encode("utf-16"))(folder),
    "a card with a key twice": lambda folder: card_is((folder / CARD).read_text().replace("{", '{"format": 1,', 1))(folder),
    "a card of three million values": card_is('{"a": [' + "0," * 3_000_000 + "0]}"),
    "a card of 17 MB": card_is('{"a": "' + "x" * 17_000_000 + '"}'),
    "a newer format": card_with(("format",), 2),
    "an older format": card_with(("format",), 0),
    "a format that is text": card_with(("format",), "1"),
    "another action space": card_with(("spec", "action_space"), {"kind": "Discrete", "n": 4, "start": 0}),
    "an action mask without room": card_with(("spec", "action_mask"), True),
    "a spec with more fields": card_with(("spec", "more"), 1),
    "a lifetime of 2^40 steps": card_with(("spec", "horizon"), 2**40),
    "a digest that is short": card_with(("parameters_sha256",), "0"),
    "an algorithm with more fields": card_with(("algorithm", "more"), 1),
    **{f"observations: {name}": card_with(("spec", "observation_space"), space) for name, space in SPACES.items()},
    **{f"actions: {name}": card_with(("spec", "action_space"), space) for name, space in SPACES.items()},
    **{f"settings: {said}": card_with(("algorithm", "config", name), value) for said, (name, value) in SETTINGS.items()},
    **{f"algorithm: {said}": card_with(("algorithm", "name"), name) for said, name in NAMES.items()},
}
FILES: dict[str, Change] = {
    "no parameters": lambda folder: (folder / PARAMETERS).unlink(),
    "empty parameters": parameters_are(b""),
    "parameters of seven bytes": parameters_are(b"\x01" * 7),
    "a header of 2^63 bytes": parameters_are((2**63).to_bytes(8, "little") + b"{}"),
    "a header beyond the file": parameters_are((100).to_bytes(8, "little") + b"{}"),
    "a header of no bytes": parameters_are((0).to_bytes(8, "little")),
    "a header that is a list": parameters_are(joined([], b"")),
    "a header that is not UTF-8": parameters_are(joined(b"{\xff}", b"")),
    "a header nested deep": parameters_are(joined(b"[" * 100_000, b"")),
    "a header without arrays": parameters_are(joined({}, b"")),
    "a pickle": parameters_are(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."),
    "an archive": parameters_are(b"PK\x03\x04" + b"\x00" * 100),
    "bytes behind the numbers": with_header(lambda header: None, more=b"\x00"),
    "a file that is cut off": lambda folder: (
        (folder / PARAMETERS).write_bytes((folder / PARAMETERS).read_bytes()[:-4]) and None
    ),
    "a changed number": lambda folder: (
        (folder / PARAMETERS).write_bytes((folder / PARAMETERS).read_bytes()[:-1] + b"\x7f") and None
    ),
    "numbers that are not finite": lambda folder: parameters_are(joined(split(folder)[0], b"\xff" * len(split(folder)[1])))(
        folder
    ),
    "an array that is missing": with_header(lambda header: {n: e for n, e in header.items() if n != first(header)}),
    "an array of another name": with_header(lambda header: {f"{n}x": e for n, e in header.items()}),
    "an array of escapes": with_header(lambda header: {f"\x1b[2J{n}": e for n, e in header.items()}),
    "an array that is text": with_header(lambda header: dict.fromkeys(header, "F32")),
    "metadata that is a list": with_header(lambda header: header | {"__metadata__": []}),
    "metadata of numbers": with_header(lambda header: header | {"__metadata__": {"a": 1}}),
    "a type that there is not": entry_with(dtype="F128"),
    "a type that is a number": entry_with(dtype=1),
    "another type": entry_with(dtype="I32"),
    "a shape that is text": entry_with(shape="1"),
    "a shape of 2^62": entry_with(shape=[2**62]),
    "a negative shape": entry_with(shape=[-1]),
    "a shape that is true": entry_with(shape=[True]),
    "a shape of ten thousand axes": entry_with(shape=[2**60] * 10_000),
    "three places": entry_with(data_offsets=[0, 4, 8]),
    "places the wrong way round": entry_with(data_offsets=[8, 0]),
    "places beyond the file": entry_with(data_offsets=[0, 2**60]),
    "places that are text": entry_with(data_offsets=["0", "4"]),
    "places that overlap": with_header(
        lambda header: {n: e | {"data_offsets": [0, 0], "shape": [0]} for n, e in header.items()}
    ),
    "one more field": entry_with(more=1),
    "a folder as parameters": replaced(PARAMETERS, Path.mkdir),
    "a link to nothing as parameters": replaced(PARAMETERS, lambda path: path.symlink_to("nowhere")),
    "a link to itself as parameters": replaced(PARAMETERS, looping),
    "a folder as card": replaced(CARD, Path.mkdir),
    "a link to itself as card": replaced(CARD, looping),
}
ENDLESS: dict[str, Change] = {
    "parameters that are zeros without end": replaced(PARAMETERS, lambda path: path.symlink_to("/dev/zero")),
    "parameters that are a pipe": replaced(PARAMETERS, os.mkfifo),
    "parameters that are 5 GB of nothing": replaced(PARAMETERS, sparse(5 * 2**30)),
    "parameters that claim 400 000 seeds": larger_bundle(400_000),
    "a card that is zeros without end": replaced(CARD, lambda path: path.symlink_to("/dev/zero")),
    "a card that is a pipe": replaced(CARD, os.mkfifo),
    "a card that is 3 GB of nothing": replaced(CARD, sparse(3 * 2**30)),
    "a card that is 15 MB of nothing": replaced(CARD, sparse(15 * 10**6)),
    "a card of two million lists": card_is('{"a": [' + "[]," * 2_000_000 + "[]]}"),
    **{f"observations: {name}": CARDS[f"observations: {name}"] for name in ("a type of 1.5 GB", "2^70 elements", "2^40 ids")},
    **{f"actions: {name}": CARDS[f"actions: {name}"] for name in ("a cell of 2^40 ids", "2^40 ids")},
    "observations: 10^7 ids": card_with(("spec", "observation_space"), {"kind": "Discrete", "n": 10**7, "start": 0}),
    "settings: a network of terabytes": CARDS["settings: a network of terabytes"],
    "settings: a million layers": CARDS["settings: a million layers"],
}
"""What takes memory or time without end where it is read without care. Run each in a process with limits."""
