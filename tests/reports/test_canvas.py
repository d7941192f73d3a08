"""Names at the ends of curves: where they stand, and what they leave as it was."""

import numpy as np
import pytest

from quickstudy.reports import canvas


def test_labels_that_would_overlap_are_moved_apart_and_keep_their_order():
    assert canvas.spread([0.0, 1.0], apart=0.1) == [0.0, 1.0]
    assert canvas.spread([0.5, 0.5], apart=0.2) == pytest.approx([0.4, 0.6])
    places = canvas.spread([0.1, 0.11, 0.12, 0.3, 0.31], apart=0.1)
    assert np.diff(places).min() >= 0.1 - 1e-9
    assert canvas.spread([0.0, 0.0, 0.0], apart=0.1) == pytest.approx([0.0, 0.1, 0.2])
    assert canvas.spread([0.95, 1.0], apart=0.1) == pytest.approx([0.9, 1.0])


def test_every_curve_is_named_at_the_height_where_it_ends():
    with canvas.style_context():
        _, axes = canvas.canvas()
        for slope in (1.0, 10.0):
            axes.plot([0, 1, 2], [0, slope, 2 * slope])
        pens = canvas.pens([("steep", True), ("flat", False)])
        canvas.label_ends(axes, [("steep", 20.0, pens["steep"]), ("flat", 2.0, pens["flat"])])
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    # The axes reach a twentieth beyond the data at either end.
    assert heights == pytest.approx({"steep": 21 / 22, "flat": 3 / 22})


def test_names_beside_a_curve_do_not_move_its_limits():
    with canvas.style_context():
        figure, axes = canvas.canvas()
        axes.plot([1, 2], [5.0, 9.0])
        before = axes.get_ylim()
        canvas.label_ends(axes, [("above", 9.0, None), ("below", 5.0, None)])
        figure.canvas.draw()
        assert axes.get_ylim() == before
