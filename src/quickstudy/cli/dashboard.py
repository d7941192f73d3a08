"""`quickstudy dashboard`: runs, sessions, agents, the audit and results in the browser."""

from quickstudy.cli.arguments import parse
from quickstudy.dashboard.server import DashboardSettings, serve_dashboard


def run(arguments: list[str]) -> int:
    """Serves the dashboard until it is told to stop."""
    settings = parse(
        DashboardSettings,
        arguments,
        program="quickstudy dashboard",
        description="Shows runs, sessions, agents, the audit and results in the browser. Ctrl-C stops.",
    )

    def listens(url: str) -> None:
        print(f"The dashboard is at {url}. Ctrl-C stops.", flush=True)

    return serve_dashboard(settings, listens=listens)
