"""Output to the terminal that no name can control.

Names come from files and command lines of other people. So text is never read as markup, and control characters are shown, not
executed. Give a style by its name, as in `console.print("...", style="yellow")`.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from quickstudy.protocol.printable import printable


class Console(RichConsole):
    """A console of Rich whose text is no markup, and cannot steer the terminal."""

    def __init__(self, **settings: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **asked: Any) -> Text:
        """A text, clean before its width is measured."""
        return super().render_str(printable(text, lines=True), **asked)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is shown, without control characters; also those of tables and their cells."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text, lines=True)
            yield segment if text == segment.text else Segment(text, segment.style)


def progress_bars(console: Console) -> Progress:
    """Bars of progress that vanish when they are done; descriptions may hold names."""
    columns: tuple[ProgressColumn, ...] = (_Description(), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def say(text: object) -> None:
    """Prints a text without control characters; its line ends and tabs are kept."""
    print(printable(text, lines=True))


class _Description(ProgressColumn):
    """The description of a bar, as text."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description))
