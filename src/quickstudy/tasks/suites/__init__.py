"""Suites of tasks that come from other packages, each an extra."""
