"""Places in arrays, as C counts them."""

import itertools

from quickstudy.programs.program import Operation

Index = tuple[str, ...]
"""An expression for each axis."""


def indices_of(shape: tuple[int, ...], prefix: str = "i") -> Index:
    """Names of the loops over a shape."""
    return tuple(f"{prefix}{axis}" for axis in range(len(shape)))


def flat(shape: tuple[int, ...], index: Index) -> str:
    """The place of an index in an array that lies in memory row by row."""
    if not shape:
        return "0"
    strides = list(itertools.accumulate(reversed(shape[1:]), lambda a, b: a * b, initial=1))[::-1]
    terms = [
        part if stride == 1 else f"{part if part.isalnum() else f'({part})'} * {stride}"
        for part, stride in zip(index, strides, strict=True)
    ]
    return " + ".join(terms)


def within_slice(op: Operation, index: Index) -> Index:
    """The index into the source of a slice."""
    left = iter(index)
    places = []
    for start, stop, step in op.settings["ranges"]:
        if stop - start <= step:
            places.append(str(start))
            continue
        part = next(left)
        part = part if step == 1 else f"{step} * ({part})"
        places.append(part if start == 0 else f"{start} + {part}")
    return tuple(places)
