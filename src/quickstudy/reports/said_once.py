"""Captions without sentences that an earlier caption of the page has said."""

import dataclasses
import re
from collections.abc import Iterable

from quickstudy.reports.canvas import Picture

_BETWEEN_SENTENCES = re.compile(r"(?<=\.)\s+(?=[A-Z])")


def said_once(pictures: Iterable[Picture]) -> list[Picture]:
    """The charts of a page, from top to bottom; each sentence of their captions stands below the first chart that has it."""
    said: set[str] = set()
    found = []
    for picture in pictures:
        sentences = [sentence for sentence in _BETWEEN_SENTENCES.split(picture.caption) if sentence not in said]
        said.update(sentences)
        found.append(dataclasses.replace(picture, caption=" ".join(sentences)))
    return found
