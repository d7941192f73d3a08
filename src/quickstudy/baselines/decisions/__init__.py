"""Classical methods for the tasks in `tasks.decisions`."""
