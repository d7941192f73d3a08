"""Tabular Markov decision processes."""
