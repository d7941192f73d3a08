"""The driver for tasks that live outside the compiled program: who lives their lifetimes, and where.

A `Collector` lives many lifetimes side by side in one process: environments are stepped one after another, and the agent
decides for all of them in one call of a compiled program. Collectors stand in this process, in worker processes, or on other
machines; each is given parameters and tasks, and gives back whole lifetimes, so that no message is passed at a step.
"""
