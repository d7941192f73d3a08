"""Sweeps: trainings over many settings, what each setting changes, and the best settings, measured again."""
