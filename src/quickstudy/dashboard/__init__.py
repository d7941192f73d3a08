"""The dashboard: pages in the browser on runs, live sessions, agents, the audit, and stored results."""
