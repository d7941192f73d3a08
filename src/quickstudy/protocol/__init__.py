"""What everybody agrees on: records, agents, task distributions, meta-algorithms."""
