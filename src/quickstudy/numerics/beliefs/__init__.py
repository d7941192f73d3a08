"""Beliefs about a task, and how evidence changes them."""
