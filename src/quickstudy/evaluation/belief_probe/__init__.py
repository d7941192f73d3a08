"""What a trained agent knows of its task, told to people, and how surprised it is; nothing about the agent changes."""
