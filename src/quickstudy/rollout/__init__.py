"""Running lifetimes: compiled, beside a task outside of JAX, or collected by workers."""
