"""Systems to be controlled."""
