"""What a trained agent knows of its task, as estimates and p-values; nothing about the agent changes."""
