"""The adaptation envelope: what a deployed agent may do, and when a classical baseline acts in its place."""
