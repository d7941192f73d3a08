"""How much faster an agent adapts than a baseline, such as one that learns from scratch."""
