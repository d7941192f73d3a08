"""Physics and problems that tasks and their opponents share."""
