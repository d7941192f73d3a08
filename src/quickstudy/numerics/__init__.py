"""Equations, each of them once."""
