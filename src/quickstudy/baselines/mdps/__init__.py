"""Classical agents for tabular Markov decision processes."""
