"""Meta-training: sources of lifetimes, the compiled update, the outer loop, the record of a run."""
