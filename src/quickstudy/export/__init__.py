"""An agent as files that decide and adapt without JAX: in NumPy, or in C."""
