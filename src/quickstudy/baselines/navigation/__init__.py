"""Classical agents that look for a goal."""
