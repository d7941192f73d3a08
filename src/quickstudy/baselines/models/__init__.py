"""Physics and problem definitions that tasks and their baselines share, one world a file.

A task and the classical agents that are compared on it import the same model. So neither takes its equations from the other.
"""
