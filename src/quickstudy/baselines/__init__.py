"""Agents that nobody meta-trained: the expert's methods, and the floor."""
