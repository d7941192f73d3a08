"""What the verbs print to. Names and paths come from anybody, so square brackets in them are letters and no markup."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


def plain_console() -> Console:
    """A console that prints text as it is."""
    return Console(markup=False, emoji=False)


def progress_bar(console: Console) -> Progress:
    """A bar of progress that goes away when it is done; its description is printed as it is."""
    description = TextColumn("{task.description}", markup=False)
    return Progress(description, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console, transient=True)
