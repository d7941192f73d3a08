"""The interfaces: records, agents, task distributions, meta-algorithms."""
