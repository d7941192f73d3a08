"""Collectors: they run lifetimes on tasks outside of JAX.

A `Collector` runs many lifetimes side by side in one process: environments are stepped one after another, and the agent decides
for all of them in one call of a compiled program. A `WorkerPool` has collectors in this process, in worker processes, or on
other machines. Each is given parameters and tasks and gives back whole lifetimes, so no message is passed at a step.
"""
