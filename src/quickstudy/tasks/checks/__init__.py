"""Looking at a task distribution from outside: its laws, tried on whatever a user wrote."""
