"""The shipped agent on new visitors: what is measured of it, and that its guard helps where its prior is wrong."""

import pytest

from docs.pages import ROOT, blocks
from quickstudy.evaluation.new_visitors import (
    AGENT,
    BUNDLE,
    GUARD,
    GUARDED,
    LINUCB,
    OUTSIDE,
    RIVALS,
    SEEDS,
    USUAL,
    measure_new_visitors,
)
from quickstudy.reports.visitors_section import visitors_sentences
from quickstudy.storage.envelope_file import load_envelope


def test_the_guard_is_that_of_the_page(tmp_path):
    path = tmp_path / "envelope.json"
    path.write_text(blocks(ROOT / "docs" / "recommendation.md", "json")[0].text, encoding="utf-8")
    assert load_envelope(path).envelope == GUARD


@pytest.mark.slow
def test_the_guard_helps_visitors_outside_of_all_clusters():
    usual, outside = measure_new_visitors(ROOT / "bundles" / BUNDLE, visitors=100)
    assert (usual.split, outside.split) == (USUAL, OUTSIDE)
    for evaluation in (usual, outside):
        assert list(evaluation.results) == [AGENT, GUARDED, *RIVALS]
        assert tuple(one.seeds for one in evaluation.results.values()) == SEEDS
    assert usual.compare(AGENT, LINUCB).outcome == "win"
    assert outside.compare(AGENT, LINUCB).outcome == "loss"  # the harm that the guard is for
    assert outside.compare(GUARDED, AGENT).outcome == "win"
    said = " ".join(visitors_sentences([usual, outside]))
    assert "unknown" not in said
    assert f"fewer clicks than {LINUCB}, and with its guard" in said
