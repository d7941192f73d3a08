"""Decisions that data scientists make."""
