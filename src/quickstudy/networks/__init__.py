"""Trained functions: layers, cores, policies, encoders."""
