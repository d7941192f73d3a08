"""A video of adaptation as files: an animated GIF, and a PNG with a few of its frames."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.font_manager
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from quickstudy.evaluation.numbers import named_values, number
from quickstudy.evaluation.video import Frame, Video
from quickstudy.protocol.errors import UsageError
from quickstudy.reports.canvas import INK, MUTED, PAPER
from quickstudy.storage.atomic import write_atomically

MOMENTS = 6
"""Frames in a row of the PNG."""

_MARGIN, _GAP, _LINE = 14, 10, 22
_HELD_MILLISECONDS = 2000
_COLOURS = 255
_LONGEST_LINES = 3
_NARROWEST = 220


def write_video(video: Video, folder: str | Path, *, pictures_per_second: float = 10.0) -> tuple[Path, Path]:
    """Writes `adaptation.gif`, with both episodes side by side, and `adaptation.png`, with frames of the first above the last.

    Args:
      video: to write.
      folder: to write into; created if it is missing.
      pictures_per_second: of the GIF, in [0.1, 50].
    Returns:
      The paths of the GIF and of the PNG.
    Raises:
      UsageError: a frame rate that a GIF cannot have.
    """
    if not 0.1 <= pictures_per_second <= 50:
        raise UsageError(f"pictures_per_second must lie between 0.1 and 50; came {pictures_per_second}.")
    still = strip(video)
    moving = _as_gif(scenes(video), still, milliseconds=round(1000 / pictures_per_second))
    file = io.BytesIO()
    still.save(file, format="PNG", optimize=True)
    paths = Path(folder) / "adaptation.gif", Path(folder) / "adaptation.png"
    for path, content in zip(paths, (moving, file.getvalue()), strict=True):
        write_atomically(path, content)
    return paths


def strip(video: Video) -> Image.Image:
    """At most `MOMENTS` frames of both episodes, at the same steps; an episode that has ended keeps its last frame."""
    longest = max(video.first, video.last, key=lambda frames: frames[-1].step)
    count = min(MOMENTS, len(longest))
    moments = [longest[place].step for place in np.linspace(0, len(longest) - 1, count).round().astype(int)]
    width, height = _panel(video)
    page = _Page(video, columns=count, rows=2, panel=(width, height), row_heading=True)
    for row, (name, frames) in enumerate(_episodes(video)):
        page.heading(row, name)
        for column, step in enumerate(moments):
            page.place(row, column, _at(frames, step), ended=step > frames[-1].step)
    return page.image


def scenes(video: Video) -> list[Image.Image]:
    """Both episodes side by side: one image for each step at which either has a frame."""
    steps = sorted({frame.step for frames in (video.first, video.last) for frame in frames})
    empty = _Page(video, columns=2, rows=1, panel=_panel(video), row_heading=False)
    found = []
    for step in steps:
        page = empty.copy()
        for column, (name, frames) in enumerate(_episodes(video)):
            page.place(0, column, _at(frames, step), ended=step > frames[-1].step, name=name)
        found.append(page.image)
    return found


class _Page:
    """A title, the task in words, and panels in rows and columns with a caption each."""

    def __init__(self, video: Video, *, columns: int, rows: int, panel: tuple[int, int], row_heading: bool):
        self._panel, self._captions = panel, 1 if row_heading else 2
        width = 2 * _MARGIN + columns * panel[0] + (columns - 1) * _GAP
        title = _wrapped(video.title, width - 2 * _MARGIN, bold=True, lines=2)
        task = _wrapped(named_values(video.task), width - 2 * _MARGIN, bold=False, lines=_LONGEST_LINES)
        self._top = _MARGIN + _LINE * (len(title) + len(task)) + _GAP // 2
        self._heading = _LINE if row_heading else 0
        self._row = self._heading + panel[1] + _LINE * self._captions + _GAP
        self.image = Image.new("RGB", (width, self._top + rows * self._row + _GAP // 2), PAPER)
        for row, line in enumerate((*title, *task)):
            bold = row < len(title)
            self._say((_MARGIN, _MARGIN + row * _LINE), line, bold=bold, colour=INK if bold else MUTED)

    def copy(self) -> "_Page":
        """The same page with an image of its own."""
        page = object.__new__(_Page)
        page.__dict__.update(self.__dict__, image=self.image.copy())
        return page

    def heading(self, row: int, words: str) -> None:
        """Writes words above a row."""
        self._say((_MARGIN, self._top + row * self._row), words, bold=True, colour=INK)

    def place(self, row: int, column: int, frame: Frame, *, ended: bool, name: str = "") -> None:
        """Pastes a frame with its caption; a `name` gets a line of its own."""
        left = _MARGIN + column * (self._panel[0] + _GAP)
        top = self._top + row * self._row + self._heading
        picture = Image.fromarray(frame.picture)
        if picture.size != self._panel:
            picture = picture.resize(self._panel, Image.Resampling.NEAREST)
        self.image.paste(picture, (left, top))
        below = top + self._panel[1] + 3
        if name:
            self._say((left, below), name, bold=True, colour=INK)
            below += _LINE
        over = ", ended" if ended else ""
        self._say((left, below), f"step {frame.step}{over}: return {number(frame.reward, 1)}", bold=False, colour=INK)

    def _say(self, where: tuple[int, int], words: str, *, bold: bool, colour: str) -> None:
        ImageDraw.Draw(self.image).text(where, words, font=_font(bold), fill=colour)


def _as_gif(images: Sequence[Image.Image], palette_of: Image.Image, *, milliseconds: int) -> bytes:
    """A GIF that repeats, with a longer last frame. All images share one palette, or colours would flicker."""
    palette = palette_of.quantize(_COLOURS, dither=Image.Dither.NONE)
    reduced = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    file = io.BytesIO()
    times = [milliseconds] * (len(images) - 1) + [max(milliseconds, _HELD_MILLISECONDS)]
    reduced[0].save(file, format="GIF", save_all=True, append_images=reduced[1:], duration=times, loop=0, optimize=False)
    return file.getvalue()


def _episodes(video: Video) -> tuple[tuple[str, tuple[Frame, ...]], tuple[str, tuple[Frame, ...]]]:
    return ("episode 1, the first", video.first), (f"episode {video.episodes}, the last", video.last)


def _panel(video: Video) -> tuple[int, int]:
    """Width and height of a panel in pixels: those of the frames, enlarged if a caption would not fit below."""
    height, width = video.first[0].picture.shape[:2]
    larger = -(-_NARROWEST // width)
    return width * larger, height * larger


def _at(frames: Sequence[Frame], step: int) -> Frame:
    """The last frame up to a step."""
    return [frame for frame in frames if frame.step <= step][-1]


def _wrapped(words: str, width: int, *, bold: bool, lines: int) -> list[str]:
    """Words on at most `lines` lines, each at most `width` pixels wide; a longer text ends in an ellipsis."""
    font, found = _font(bold), [""]
    for word in words.split():
        longer = f"{found[-1]} {word}".strip()
        if found[-1] and font.getlength(longer) > width:
            found.append(word)
        else:
            found[-1] = longer
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1]} …"]
    return [line for line in found if line]


@functools.cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    """The font of all charts, from matplotlib."""
    weight = "bold" if bold else "normal"
    properties = matplotlib.font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(matplotlib.font_manager.findfont(properties), 14)
