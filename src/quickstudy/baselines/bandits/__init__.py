"""Classical agents for bandits."""
