"""Trackers of experiments: a run folder is read and written to one of them, beside the training or after it."""

from quickstudy.adapters.trackers.tracking import TRACKERS, Tracked, track

__all__ = ["TRACKERS", "Tracked", "track"]
