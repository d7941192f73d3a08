"""Where the bundles that come with the package are found: in the package, else in the clone."""

from docs.pages import ROOT
from quickstudy.storage import shipped
from quickstudy.storage.shipped import shipped_bundle


def test_a_clone_has_the_bundles_of_its_folder():
    assert shipped_bundle("recommendation-50") == ROOT / "bundles" / "recommendation-50"
    assert shipped_bundle("no such agent") is None


def test_the_package_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "_PACKAGED", tmp_path)
    (tmp_path / "recommendation-50").mkdir()
    assert shipped_bundle("recommendation-50") == ROOT / "bundles" / "recommendation-50"  # an empty folder is no bundle
    (tmp_path / "recommendation-50" / "bundle.json").write_text("{}", encoding="utf-8")
    assert shipped_bundle("recommendation-50") == tmp_path / "recommendation-50"
