"""Functions as short lists of operations on arrays, which run without JAX."""
