"""What an expert would use for the tasks in `tasks.decisions`."""
