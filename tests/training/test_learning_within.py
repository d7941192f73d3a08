"""The return within a held-out lifetime, as evaluations during training store it."""

import numpy as np
import pytest

from quickstudy.storage.metrics_file import read
from quickstudy.storage.run_folder import WITHIN, RunFolder
from quickstudy.training.learning_within import MOST_POINTS, points_of, within_line
from quickstudy.training.lifetime_source import HeldOut


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (2, 2), (64, 64), (65, 64), (5000, 64)])
def test_points_are_evenly_spaced_with_both_ends(steps, count):
    points = points_of(steps)
    assert (len(points), points[0], points[-1]) == (count, 1, steps)
    gaps = np.diff(points)
    assert (gaps >= 1).all()
    assert MOST_POINTS == 64
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_a_line_holds_five_digits():
    held_out = HeldOut(metrics={}, steps=(1, 2), so_far=np.array([[1 / 3, 123456.7]]))
    assert within_line(held_out) == {"points": [1, 2], "return_so_far": [[0.33333, 123460.0]]}


def test_lines_after_the_checkpoint_are_dropped(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.append_within({"update": 1, "points": [1]})
    assert len(read(folder.path / WITHIN)[0]) == 1
    assert folder.restore({}) is None  # there is no checkpoint, so the run begins again
    assert read(folder.path / WITHIN)[0] == []
    folder.close()
